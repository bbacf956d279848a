#include "cc/index/vector_codec.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDims[] = {1, 3, 15, 16, 17, 63, 64, 65, 100, 128, 4096};
constexpr CodeKind kKinds[] = {CodeKind::kFloat32, CodeKind::kBfloat16,
                               CodeKind::kInt8};

std::vector<float> RandomFloats(size_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

// Bytes at a multiple of 64 that end where the allocation ends, so that a sanitizer
// sees a read past them.
class Bytes {
 public:
  explicit Bytes(size_t size)
      : size_(size),
        bytes_(static_cast<char*>(::operator new(size, std::align_val_t{64}))) {
    std::memset(bytes_, 0xEE, size);
  }
  ~Bytes() { ::operator delete(bytes_, std::align_val_t{64}); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  char* data() { return bytes_; }
  size_t size() const { return size_; }

 private:
  size_t size_;
  char* bytes_;
};

double PlainDistance(Metric metric, const std::vector<float>& a,
                     const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    sum += metric == Metric::kL2 ? (x - y) * (x - y) : -x * y;
  }
  return sum;
}

// Sum of magnitudes of what PlainDistance adds up: what float sums round against.
double Magnitude(Metric metric, const std::vector<float>& a,
                 const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    sum += metric == Metric::kL2 ? x * x + y * y : std::abs(x * y);
  }
  return sum;
}

std::vector<float> Decoded(const VectorCodec& codec, const char* code) {
  std::vector<float> vector(static_cast<size_t>(codec.dim()));
  codec.Decode(code, vector.data());
  return vector;
}

struct CodecCase {
  CodeKind kind;
  Metric metric;
};

class VectorCodecTest : public testing::TestWithParam<CodecCase> {
 protected:
  static absl::Span<const CodeKernel> Kernels() {
    const CodecCase& at = GetParam();
    if (at.kind == CodeKind::kFloat32) return Float32Kernels(at.metric);
    if (at.kind == CodeKind::kBfloat16) return Bfloat16Kernels(at.metric);
    return Int8Kernels(at.metric);
  }
  static VectorCodec Codec(int64_t dim, float limit = 3) {
    return VectorCodec(GetParam().kind, GetParam().metric, dim, limit);
  }
};

constexpr size_t kRows = 23;

TEST_P(VectorCodecTest, EveryKernelMatchesDoublePrecisionOnTheCodedVectors) {
  for (int64_t dim : kDims) {
    const VectorCodec codec = Codec(dim);
    const std::vector<float> values = RandomFloats(kRows * dim, 1);
    Bytes rows(kRows * codec.code_stride());
    for (size_t row = 0; row < kRows; ++row) {
      codec.Encode(&values[row * dim], rows.data() + row * codec.code_stride());
    }
    Bytes query(codec.query_bytes());
    codec.CodeToQuery(rows.data(), query.data());
    const std::vector<float> coded_query = Decoded(codec, rows.data());
    const std::vector<uint32_t> nodes = {22, 0, 7, 7, 3, 21, 20, 1, 2, 4, 5};
    for (const CodeKernel& kernel : Kernels()) {
      SCOPED_TRACE(std::string(kernel.name) + ", dim " + std::to_string(dim));
      std::vector<float> out(nodes.size());
      kernel.gather(codec.shape(), query.data(), {rows.data(), codec.code_stride()},
                    nodes.data(), nodes.size(), out.data());
      for (size_t i = 0; i < nodes.size(); ++i) {
        const std::vector<float> row =
            Decoded(codec, rows.data() + nodes[i] * codec.code_stride());
        ASSERT_NEAR(out[i], PlainDistance(codec.metric(), coded_query, row),
                    1e-5 * Magnitude(codec.metric(), coded_query, row));
      }
    }
  }
}

TEST_P(VectorCodecTest, GatherScanAndPairGiveTheSameBits) {
  for (int64_t dim : kDims) {
    const VectorCodec codec = Codec(dim);
    const std::vector<float> values = RandomFloats(kRows * dim, 2);
    Bytes rows(kRows * codec.code_stride());
    for (size_t row = 0; row < kRows; ++row) {
      codec.Encode(&values[row * dim], rows.data() + row * codec.code_stride());
    }
    const RowBlock block{rows.data(), codec.code_stride()};
    Bytes query(codec.query_bytes());
    codec.CodeToQuery(rows.data() + codec.code_stride(), query.data());
    std::vector<uint32_t> nodes(kRows - 2);
    for (size_t i = 0; i < nodes.size(); ++i) nodes[i] = static_cast<uint32_t>(i + 2);
    for (const CodeKernel& kernel : Kernels()) {
      SCOPED_TRACE(std::string(kernel.name) + ", dim " + std::to_string(dim));
      std::vector<float> gathered(nodes.size()), scanned(nodes.size());
      kernel.gather(codec.shape(), query.data(), block, nodes.data(), nodes.size(),
                    gathered.data());
      kernel.scan(codec.shape(), query.data(), block, 2, scanned.size(),
                  scanned.data());
      EXPECT_EQ(gathered, scanned);
      for (size_t i = 0; i < nodes.size(); ++i) {
        const char* row = rows.data() + nodes[i] * codec.code_stride();
        ASSERT_EQ(kernel.pair(codec.shape(), block.base + block.stride_bytes, row),
                  gathered[i]);
        ASSERT_EQ(kernel.pair(codec.shape(), row, block.base + block.stride_bytes),
                  gathered[i]);
      }
    }
  }
}

TEST_P(VectorCodecTest, DistanceToFloatQueriesIsNearTheOneOfFloats) {
  constexpr int64_t kDim = 100;
  const std::vector<float> a = RandomFloats(kDim, 3), b = RandomFloats(kDim, 4);
  const float limit = VectorCodec::LimitFor(b, kDim, Metric::kL2);
  const VectorCodec codec = Codec(kDim, limit);
  Bytes row(codec.code_stride()), query(codec.query_bytes());
  codec.Encode(b.data(), row.data());
  codec.EncodeQuery(a.data(), query.data());
  const uint32_t node = 0;
  float distance;
  codec.Gather(query.data(), {row.data(), codec.code_stride()}, &node, 1, &distance);
  const double share = GetParam().kind == CodeKind::kFloat32 ? 1e-6 : 0.01;
  EXPECT_NEAR(distance, PlainDistance(codec.metric(), a, b),
              share * Magnitude(codec.metric(), a, b));
}

TEST_P(VectorCodecTest, ZeroVectorsAreAtDistanceZeroFromZero) {
  for (int64_t dim : kDims) {
    const VectorCodec codec = Codec(dim);
    const std::vector<float> zero(static_cast<size_t>(dim));
    Bytes row(codec.code_stride()), query(codec.query_bytes());
    codec.Encode(zero.data(), row.data());
    codec.EncodeQuery(zero.data(), query.data());
    float distance;
    codec.Scan(query.data(), {row.data(), codec.code_stride()}, 0, 1, &distance);
    EXPECT_EQ(distance, 0);
    EXPECT_EQ(codec.Pair(row.data(), row.data()), 0);
    EXPECT_EQ(Decoded(codec, row.data()), zero);
  }
}

TEST_P(VectorCodecTest, NumbersOfAnySizeGiveADistanceThatIsANumber) {
  constexpr int64_t kDim = 20;
  for (float limit : {FLT_TRUE_MIN, 1.0f, FLT_MAX}) {
    const VectorCodec codec = Codec(kDim, limit);
    for (float size : {FLT_TRUE_MIN, 1e-30f, 1.0f, 1e18f}) {
      const std::vector<float> vector(kDim, size);
      Bytes row(codec.code_stride()), query(codec.query_bytes());
      codec.Encode(vector.data(), row.data());
      codec.EncodeQuery(vector.data(), query.data());
      float distance;
      codec.Scan(query.data(), {row.data(), codec.code_stride()}, 0, 1, &distance);
      EXPECT_FALSE(std::isnan(distance)) << "limit " << limit << " size " << size;
      EXPECT_FALSE(std::isnan(codec.Pair(row.data(), row.data())));
    }
  }
}

TEST_P(VectorCodecTest, EncodingADecodedRowGivesTheRow) {
  for (int64_t dim : kDims) {
    const VectorCodec codec = Codec(dim);
    const std::vector<float> vector = RandomFloats(dim, 5);
    Bytes once(codec.code_stride()), twice(codec.code_stride());
    codec.Encode(vector.data(), once.data());
    codec.Encode(Decoded(codec, once.data()).data(), twice.data());
    EXPECT_EQ(std::memcmp(once.data(), twice.data(), once.size()), 0) << dim;
  }
}

TEST_P(VectorCodecTest, StridesKeepRowsOnWholeLinesUnlessThatWastesAQuarter) {
  for (int64_t dim : kDims) {
    const VectorCodec codec = Codec(dim);
    const size_t bytes = dim * (GetParam().kind == CodeKind::kFloat32    ? 4
                                : GetParam().kind == CodeKind::kBfloat16 ? 2
                                                                         : 1);
    const size_t stride = codec.code_stride();
    EXPECT_EQ(stride % 16, 0);
    EXPECT_GE(stride, bytes);
    EXPECT_TRUE(stride <= bytes + 32 || (stride - bytes) * 4 <= stride) << stride;
    EXPECT_EQ(codec.query_bytes() % 64, 0);
  }
}

std::vector<CodecCase> AllCases() {
  std::vector<CodecCase> cases;
  for (CodeKind kind : kKinds) {
    for (Metric metric : {Metric::kInnerProduct, Metric::kL2}) {
      cases.push_back({kind, metric});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(KindsAndMetrics, VectorCodecTest,
                         testing::ValuesIn(AllCases()),
                         [](const testing::TestParamInfo<CodecCase>& info) {
                           return std::string(CodeKindName(info.param.kind)) + "_" +
                                  std::string(MetricName(info.param.metric));
                         });

TEST(Int8CodeTest, EveryInstructionSetGivesTheSameBits) {
  for (Metric metric : {Metric::kInnerProduct, Metric::kL2}) {
    for (int64_t dim : kDims) {
      const VectorCodec codec(CodeKind::kInt8, metric, dim, 2);
      const std::vector<float> a = RandomFloats(dim, 6), b = RandomFloats(dim, 7);
      Bytes row(codec.code_stride()), query(codec.query_bytes());
      codec.Encode(a.data(), row.data());
      codec.EncodeQuery(b.data(), query.data());
      float first;
      Int8Kernels(metric)[0].scan(codec.shape(), query.data(),
                                  {row.data(), codec.code_stride()}, 0, 1, &first);
      for (const CodeKernel& kernel : Int8Kernels(metric)) {
        float distance;
        kernel.scan(codec.shape(), query.data(), {row.data(), codec.code_stride()}, 0,
                    1, &distance);
        EXPECT_EQ(distance, first) << kernel.name << " dim " << dim;
      }
    }
  }
}

TEST(Int8CodeTest, ErrsByHalfAStepWithinTheLimitAndClipsOutside) {
  constexpr int64_t kDim = 257;
  const VectorCodec codec(CodeKind::kInt8, Metric::kCosine, kDim, 0.5);
  std::vector<float> vector(kDim);
  for (int64_t i = 0; i < kDim; ++i) vector[i] = static_cast<float>(i - 128) / 200;
  Bytes row(codec.code_stride());
  codec.Encode(vector.data(), row.data());
  const std::vector<float> decoded = Decoded(codec, row.data());
  for (int64_t i = 0; i < kDim; ++i) {
    const float nearest = std::clamp(vector[i], -0.5f, 0.5f);
    EXPECT_LE(std::abs(decoded[i] - nearest), 0.5f / 127 / 2 + 1e-6f) << vector[i];
  }
}

TEST(Int8CodeTest, SumsOfTheLargestNumbersFitIn32Bits) {
  constexpr int64_t kDim = 16384;
  const std::vector<float> ones(kDim, 1), minus(kDim, -1);
  const VectorCodec codec(CodeKind::kInt8, Metric::kInnerProduct, kDim, 1);
  Bytes row(codec.code_stride()), query(codec.query_bytes());
  for (const CodeKernel& kernel : Int8Kernels(Metric::kInnerProduct)) {
    for (const std::vector<float>* vector : {&ones, &minus}) {
      codec.Encode(ones.data(), row.data());
      codec.EncodeQuery(vector->data(), query.data());
      float distance;
      kernel.scan(codec.shape(), query.data(), {row.data(), codec.code_stride()}, 0, 1,
                  &distance);
      EXPECT_NEAR(distance, vector == &ones ? -kDim : kDim, 0.01) << kernel.name;
    }
  }
}

TEST(Int8CodeTest, L2DistanceOfARowToItselfIsExactlyZero) {
  constexpr int64_t kDim = 100;
  const VectorCodec codec(CodeKind::kInt8, Metric::kL2, kDim, 3);
  const std::vector<float> vector = RandomFloats(kDim, 8);
  Bytes row(codec.code_stride());
  codec.Encode(vector.data(), row.data());
  for (const CodeKernel& kernel : Int8Kernels(Metric::kL2)) {
    EXPECT_EQ(kernel.pair(codec.shape(), row.data(), row.data()), 0) << kernel.name;
  }
}

TEST(Bfloat16CodeTest, ErrsByOnePartIn256AndNeverBecomesInfinite) {
  const std::vector<float> vector = {1.0f, -1.00390625f, 3.14159f, FLT_MAX, -FLT_MAX};
  const auto dim = static_cast<int64_t>(vector.size());
  const VectorCodec codec(CodeKind::kBfloat16, Metric::kL2, dim, 1);
  Bytes row(codec.code_stride());
  codec.Encode(vector.data(), row.data());
  const std::vector<float> decoded = Decoded(codec, row.data());
  for (size_t i = 0; i < vector.size(); ++i) {
    EXPECT_TRUE(std::isfinite(decoded[i]));
    EXPECT_NEAR(decoded[i] / vector[i], 1, 1.0 / 256);
  }
}

TEST(LimitTest, IsTheLargestMagnitudeExceptForCosine) {
  std::vector<float> vectors(1'000'000, 0.25f);
  vectors[77] = -9;
  EXPECT_EQ(VectorCodec::LimitFor(vectors, 10, Metric::kInnerProduct), 9);
  EXPECT_EQ(VectorCodec::LimitFor(vectors, 10, Metric::kL2), 9);
  EXPECT_NEAR(VectorCodec::LimitFor(vectors, 10, Metric::kCosine), 0.25, 0.001);
}

TEST(LimitTest, CoversAllButOneInAHundredThousandForCosine) {
  const std::vector<float> vectors = RandomFloats(3'000'000, 9);
  const float limit = VectorCodec::LimitFor(vectors, 30, Metric::kCosine);
  const auto above = std::count_if(vectors.begin(), vectors.end(),
                                   [=](float x) { return std::abs(x) > limit; });
  EXPECT_LE(above, 30);
  EXPECT_GE(above, 15);
}

TEST(LimitTest, IsOneWithoutVectorsAndForZerosOnly) {
  EXPECT_EQ(VectorCodec::LimitFor({}, 4, Metric::kCosine), 1);
  EXPECT_EQ(VectorCodec::LimitFor(std::vector<float>(8), 4, Metric::kL2), 1);
}

TEST(LimitTest, IsTheLargestMagnitudeWhereNearlyAllNumbersAreZero) {
  std::vector<float> vectors(1'000'000);
  vectors[3] = 0.5f;
  EXPECT_EQ(VectorCodec::LimitFor(vectors, 10, Metric::kCosine), 0.5f);
}

TEST(LimitTest, LooksAtRowsOfTheWholeSpread) {
  std::vector<float> vectors(1'000'000, 1.0f);
  std::fill(vectors.end() - 100, vectors.end(), 2.0f);
  EXPECT_EQ(VectorCodec::LimitFor(vectors, 1, Metric::kL2), 2);
}

TEST(CodeKindTest, NamesGoThereAndBack) {
  for (CodeKind kind : kKinds) EXPECT_EQ(*ParseCodeKind(CodeKindName(kind)), kind);
  EXPECT_EQ(ParseCodeKind("int4").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace stepwell::index
