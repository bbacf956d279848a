#include "cc/kernels/topk/topk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();

struct Answer {
  std::vector<float> scores;
  std::vector<int64_t> ids;
  bool operator==(const Answer&) const = default;
};

// The definition: sort everything.
Answer Reference(std::vector<float> scores, const std::vector<int64_t>& ids,
                 int64_t k) {
  for (float& score : scores) {
    if (!std::isfinite(score)) score = -kInfinity;
  }
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : ids[a] < ids[b];
  });
  order.resize(std::min<size_t>(order.size(), k));
  Answer answer;
  for (size_t i : order) {
    answer.scores.push_back(scores[i]);
    answer.ids.push_back(ids[i]);
  }
  return answer;
}

Answer Top(const std::vector<float>& scores, const std::vector<int64_t>& ids, int64_t k,
           Isa isa) {
  const int64_t size = scores.size();
  const int64_t kept = std::min(k, size);
  // One more than is written: nothing may go past the end.
  Answer answer{std::vector<float>(kept + 1, 7.0f), std::vector<int64_t>(kept + 1, 7)};
  TopKScores(scores.data(), ids.data(), size, k, answer.scores.data(),
             answer.ids.data(), isa);
  EXPECT_EQ(answer.scores.back(), 7.0f);
  EXPECT_EQ(answer.ids.back(), 7);
  answer.scores.pop_back();
  answer.ids.pop_back();
  return answer;
}

void ExpectReference(const std::vector<float>& scores, const std::vector<int64_t>& ids,
                     int64_t k) {
  const Answer expected = Reference(scores, ids, k);
  for (Isa isa : UsableIsas()) {
    ASSERT_TRUE(Top(scores, ids, k, isa) == expected)
        << "N " << scores.size() << " K " << k << " set " << static_cast<int>(isa);
  }
}

std::vector<int64_t> ShuffledIds(int64_t count, unsigned seed) {
  std::vector<int64_t> ids(count);
  std::iota(ids.begin(), ids.end(), int64_t{-3});
  std::shuffle(ids.begin(), ids.end(), std::mt19937(seed));
  return ids;
}

std::vector<float> RandomScores(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> scores(count);
  for (float& score : scores) score = normal(random);
  return scores;
}

const int64_t kSizes[] = {0,  1,  2,   3,   4,   7,   8,    15,   16,   17,   31,   63,
                          64, 65, 100, 127, 128, 800, 2047, 2048, 2049, 4111, 20000};

std::vector<int64_t> KsFor(int64_t size) {
  return {0, 1, 2, 17, 64, 65, 100, size / 2, size - 1, size, size + 5};
}

TEST(TopKTest, EqualsASortAtEverySize) {
  for (int64_t size : kSizes) {
    for (int64_t k : KsFor(size)) {
      if (k < 0) continue;
      ExpectReference(RandomScores(size, 1), ShuffledIds(size, 2), k);
    }
  }
}

TEST(TopKTest, TiesGoToTheLowerIdAlsoAtTheEdge) {
  for (int64_t size : {5, 64, 300, 5000, 20000}) {
    for (int num_values : {1, 2, 30}) {
      std::vector<float> scores = RandomScores(size, 3);
      for (float& score : scores) {
        score =
            std::floor(score * 100) - num_values * std::floor(score * 100 / num_values);
      }
      for (int64_t k : {1, 4, 100, 700}) {
        ExpectReference(scores, ShuffledIds(size, 4), k);
      }
    }
  }
}

TEST(TopKTest, OrderOfTheScoresDoesNotMatter) {
  std::vector<float> ascending = RandomScores(30'000, 5);
  std::sort(ascending.begin(), ascending.end());
  std::vector<float> descending(ascending.rbegin(), ascending.rend());
  // An organ pipe: what a pivot in the middle of the range is worst at.
  std::vector<float> pipe(ascending);
  std::reverse(pipe.begin() + 15'000, pipe.end());
  for (const std::vector<float>& scores : {ascending, descending, pipe}) {
    for (int64_t k : {1, 500, 10'000}) {
      ExpectReference(scores, ShuffledIds(30'000, 6), k);
    }
  }
}

// Scores whose every sampled pivot is about the ninth best of what is left, so that a
// partition parts a few keys only. Mirrors the places that the kernel samples; where
// it samples elsewhere, this is one more order.
std::vector<float> ScoresAgainstThePivots(int64_t size) {
  std::vector<float> scores(size, 0.0f);
  std::vector<int64_t> left(size);
  std::iota(left.begin(), left.end(), int64_t{0});
  float next = static_cast<float>(2 * size);
  while (left.size() > 64) {
    const int64_t step = left.size() / 16;
    std::vector<float> samples;
    for (int64_t i = 0; i < 16; ++i) {
      float& score = scores[left[i * step + step / 2]];
      if (score == 0.0f && i < 9) score = next--;
      samples.push_back(score);
    }
    std::sort(samples.rbegin(), samples.rend());
    std::erase_if(left, [&](int64_t i) { return scores[i] > samples[8]; });
  }
  for (int64_t i : left) {
    if (scores[i] == 0.0f) scores[i] = next--;
  }
  return scores;
}

TEST(TopKTest, AnInputMadeAgainstThePivotsIsSortedToo) {
  const std::vector<float> scores = ScoresAgainstThePivots(3'000);
  ExpectReference(scores, ShuffledIds(3'000, 8), 3'000);
  ExpectReference(scores, ShuffledIds(3'000, 8), 2'000);
}

TEST(TopKTest, NonFiniteScoresSinkByIdAndComeOutAsMinusInfinity) {
  const std::vector<float> scores = {kNan,       -kMax, kInfinity, 1.0f,
                                     -kInfinity, -kNan, kMax,      -2.0f};
  const std::vector<int64_t> ids = {90, 10, 80, 20, 70, 60, 30, 40};
  const Answer expected = {
      {kMax, 1.0f, -2.0f, -kMax, -kInfinity, -kInfinity, -kInfinity, -kInfinity},
      {30, 20, 40, 10, 60, 70, 80, 90}};
  for (Isa isa : UsableIsas()) EXPECT_TRUE(Top(scores, ids, 8, isa) == expected);
}

TEST(TopKTest, MostlyNonFiniteScoresStillGiveTheFiniteOnes) {
  std::vector<float> scores(9'000, kNan);
  for (int64_t i = 0; i < 9'000; i += 3) scores[i] = i % 2 ? kInfinity : -kInfinity;
  scores[8'888] = -5.0f;
  scores[11] = -6.0f;
  for (int64_t k : {1, 2, 3, 100, 9'000}) {
    ExpectReference(scores, ShuffledIds(9'000, 7), k);
  }
}

TEST(TopKTest, ZeroesOfBothSignsTie) {
  const std::vector<float> scores = {0.0f, -0.0f, 0.0f, -0.0f};
  for (Isa isa : UsableIsas()) {
    EXPECT_EQ(Top(scores, {4, 3, 2, 1}, 4, isa).ids,
              std::vector<int64_t>({1, 2, 3, 4}));
  }
}

TEST(TopKTest, DenormalScoresAreScores) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  ExpectReference({0.0f, tiny, -tiny, 2 * tiny}, {1, 2, 3, 4}, 4);
}

TEST(TopKTest, IdsMayRepeatAndBeAnyNumber) {
  const int64_t lowest = std::numeric_limits<int64_t>::min();
  const int64_t highest = std::numeric_limits<int64_t>::max();
  ExpectReference({1.0f, 1.0f, 1.0f, 1.0f}, {highest, 5, lowest, 5}, 3);
}

}  // namespace
}  // namespace stepwell::kernels
