#include "cc/kernels/mlp/activations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kWidths[] = {0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 100, 415};
constexpr int64_t kNumRows = 5;

// Float32 values with 8 significant bits: the same numbers as bfloat16.
std::vector<float> RandomValues(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) {
    const uint32_t bits = std::bit_cast<uint32_t>(normal(random)) & 0xFFFF0000u;
    value = std::bit_cast<float>(bits);
  }
  return values;
}

uint16_t Bfloat16(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}

// One case: the values in both types, what they are multiplied with, and what they
// are in float64.
struct Case {
  int64_t width;
  bool relu;
  std::vector<float> values;
  std::vector<uint16_t> halves;
  std::vector<float> scales;
  std::vector<float> bias;

  Case(int64_t width, bool relu) : width(width), relu(relu) {
    values = RandomValues(kNumRows * width, 1);
    for (float value : values) halves.push_back(Bfloat16(value));
    scales = {1.0f, 0.25f, 3.0f, 0.0f, 100.0f};
    bias = RandomValues(width, 2);
  }

  ActivationRows rows(bool is_bfloat16) const {
    const void* data = is_bfloat16 ? static_cast<const void*>(halves.data())
                                   : static_cast<const void*>(values.data());
    return {data, is_bfloat16, width, scales.data(), bias.data(), relu};
  }

  double Expected(int64_t b, int64_t k) const {
    const double value = double{values[b * width + k]} * scales[b] + bias[k];
    return relu ? std::max(0.0, value) : value;
  }

  double Largest(int64_t b) const {
    double largest = 0.0;
    for (int64_t k = 0; k < width; ++k) {
      largest = std::max(largest, std::fabs(Expected(b, k)));
    }
    return largest;
  }
};

void ExpectCodes(const Case& given, bool is_bfloat16, Isa isa) {
  const int64_t size = kNumRows * given.width;
  // One more byte than is written: nothing may go past the end.
  std::vector<uint8_t> codes(size + 1, 77);
  std::vector<float> scales(kNumRows);
  QuantizeActivations(given.rows(is_bfloat16), kNumRows, codes.data(), scales.data(),
                      isa);
  EXPECT_EQ(codes.back(), 77);
  for (int64_t b = 0; b < kNumRows; ++b) {
    const double step = given.Largest(b) / (given.relu ? 255.0 : 127.0);
    ASSERT_NEAR(scales[b], step, 1e-6 * step) << "row " << b;
    for (int64_t k = 0; k < given.width; ++k) {
      const int64_t code = codes[b * given.width + k] - ZeroPointOf(given.relu);
      ASSERT_NEAR(code * double{scales[b]}, given.Expected(b, k), 0.5001 * step)
          << "width " << given.width << " row " << b << " column " << k;
    }
  }
}

TEST(ActivationsTest, CodesAreWithinHalfAStepOfTheValue) {
  for (int64_t width : kWidths) {
    for (bool relu : {false, true}) {
      const Case given(width, relu);
      for (Isa isa : UsableIsas()) {
        ExpectCodes(given, false, isa);
        ExpectCodes(given, true, isa);
      }
    }
  }
}

TEST(ActivationsTest, FinishedValuesAreTheDefinition) {
  for (int64_t width : kWidths) {
    for (bool relu : {false, true}) {
      const Case given(width, relu);
      for (Isa isa : UsableIsas()) {
        std::vector<float> floats(kNumRows * width + 1, -7.0f);
        std::vector<uint16_t> halves(kNumRows * width + 1, 7);
        FinishActivations(given.rows(true), kNumRows, false, floats.data(), isa);
        FinishActivations(given.rows(false), kNumRows, true, halves.data(), isa);
        for (int64_t at = 0; at < kNumRows * width; ++at) {
          const double expected = given.Expected(at / width, at % width);
          const float half =
              std::bit_cast<float>(static_cast<uint32_t>(halves[at]) << 16);
          ASSERT_NEAR(floats[at], expected, 1e-6 * (1.0 + std::fabs(expected)));
          ASSERT_NEAR(half, expected, 1e-6 + std::fabs(expected) / 256.0);
        }
        EXPECT_EQ(floats.back(), -7.0f);
        EXPECT_EQ(halves.back(), 7);
      }
    }
  }
}

TEST(ActivationsTest, ARowOfZerosHasScaleZero) {
  const std::vector<float> values = {0.0f, -0.0f, 1e-31f, -1e-38f, 0.0f};
  for (Isa isa : UsableIsas()) {
    std::vector<uint8_t> codes(5);
    float scale = 1.0f;
    QuantizeActivations({values.data(), false, 5, nullptr, nullptr, false}, 1,
                        codes.data(), &scale, isa);
    EXPECT_EQ(scale, 0.0f);
    EXPECT_EQ(codes, std::vector<uint8_t>(5, kSignedZeroPoint));
  }
}

// At the front, where the registers are full, and in the tail.
TEST(ActivationsTest, WhatIsNoNumberTouchesItsRowOnly) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (float bad : {kInfinity, -kInfinity, std::nanf("")}) {
    for (int64_t place : {0, 17, 18}) {
      std::vector<float> values(3 * 19, 1.0f);
      values[19 + place] = bad;
      for (Isa isa : UsableIsas()) {
        std::vector<uint8_t> codes(3 * 19);
        std::vector<float> scales(3);
        QuantizeActivations({values.data(), false, 19, nullptr, nullptr, false}, 3,
                            codes.data(), scales.data(), isa);
        EXPECT_EQ(scales[0], 1.0f / 127.0f);
        EXPECT_TRUE(std::isnan(scales[1])) << bad << " at " << place;
        EXPECT_EQ(scales[2], 1.0f / 127.0f);
        EXPECT_EQ(codes[38], 255);
      }
    }
  }
}

TEST(ActivationsTest, ReluKeepsNaN) {
  std::vector<float> values(20, -1.0f);
  values[3] = std::nanf("");
  for (Isa isa : UsableIsas()) {
    std::vector<float> found(20);
    FinishActivations({values.data(), false, 20, nullptr, nullptr, true}, 1, false,
                      found.data(), isa);
    EXPECT_TRUE(std::isnan(found[3]));
    EXPECT_EQ(found[19], 0.0f);
  }
}

}  // namespace
}  // namespace stepwell::kernels
