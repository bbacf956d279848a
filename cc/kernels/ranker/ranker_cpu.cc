#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cc/kernels/ranker/ranker.h"
#include "cc/kernels/ranker/ranker_vec.h"

namespace stepwell::kernels {
namespace {

// Its inverse times 255 is still finite.
constexpr float kSmallestInput = 1e-30f;
// So many that a panel of weights is used four times for each time it comes from the L2
// cache, and so few that the rows, and the records of the next block, fit beside it.
constexpr int64_t kBlockRows = 24;

// Columns with room for a whole register behind the last.
struct DenseColumns {
  const float* is_log;
  const float* mean;
  const float* inverse_scale;
  float* raw;  // one candidate's
};

// Both null without a table of users.
struct RankerUser {
  const float* vector;     // [dim], zeros behind
  const uint8_t* rounded;  // the same in bfloat16
  float* dots;             // [groups * kGroup], of one candidate
};

// Fetches the records of the block after this one, a few lines between two tiles: all
// at once they would wait for memory, and so would this block's first tiles.
class Lookahead {
 public:
  void Start(const RankerModel& model, const int64_t* rows, int64_t count) {
    items_ = model.items;
    record_bytes_ = model.record_bytes;
    rows_ = rows;
    end_ = rows + count;
    at_ = 0;
  }

  void FetchSome() { Fetch(kLinesAtOnce); }
  void FetchRest() { Fetch((end_ - rows_) * record_bytes_ / kLineBytes); }

 private:
  static constexpr int64_t kLinesAtOnce = 20;
  static constexpr int64_t kLineBytes = 64;

  void Fetch(int64_t num_lines) {
    while (num_lines > 0 && rows_ < end_) {
      const uint8_t* from = items_ + *rows_ * record_bytes_ + at_;
      const int64_t rest = (record_bytes_ - at_) / kLineBytes;
      const int64_t here = std::min(num_lines, rest);
      for (int64_t line = 0; line < here; ++line) {
        __builtin_prefetch(from + line * kLineBytes);
      }
      num_lines -= here;
      at_ += here * kLineBytes;
      if (here < rest) return;
      at_ = 0;
      ++rows_;
    }
  }

  const uint8_t* items_ = nullptr;
  int64_t record_bytes_ = 0;
  const int64_t* rows_ = nullptr;
  const int64_t* end_ = nullptr;
  int64_t at_ = 0;
};

struct BlockMemory {
  float* values;
  int64_t value_stride;
  float* vectors;
  int64_t vector_stride;
  uint8_t* inputs;
  int64_t input_stride;
  float* scales;
  const uint8_t** records;
  const uint16_t** biases;
  Lookahead* ahead;
};

}  // namespace
}  // namespace stepwell::kernels

namespace stepwell::kernels::baseline {
namespace {
#include "cc/kernels/ranker/ranker_body.h"
}  // namespace
}  // namespace stepwell::kernels::baseline

#pragma GCC push_options
#pragma GCC target("avx512vnni,avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512_vnni {
namespace {
#include "cc/kernels/ranker/ranker_body.h"
}  // namespace
}  // namespace stepwell::kernels::avx512_vnni
#pragma GCC pop_options

namespace stepwell::kernels {
namespace {

int64_t Rounded(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

// All that a call writes besides its logits, in one piece, rows on cache lines.
class Memory {
 public:
  explicit Memory(const RankerModel& model)
      : dense_(Rounded(model.num_dense, 16)),
        vector_(model.projection.padded_outputs()),
        dots_(Rounded(model.num_item_vectors, kGroup)),
        width_(ValueWidth(model)),
        floats_(static_cast<size_t>(4 * dense_ + 2 * vector_ + dots_ +
                                    kBlockRows * Row() + 16)),
        records_(kBlockRows),
        biases_(kBlockRows) {
    float* at = AlignedFloats();
    columns_ = at;
    CopyColumn(model.is_log, model.num_dense, at);
    CopyColumn(model.mean, model.num_dense, at + dense_);
    CopyColumn(model.inverse_scale, model.num_dense, at + 2 * dense_);
    user_ = at + 4 * dense_;
    user_dots_ = user_ + 2 * vector_;
    block_ = user_dots_ + dots_;
  }

  DenseColumns columns() {
    return {columns_, columns_ + dense_, columns_ + 2 * dense_, columns_ + 3 * dense_};
  }
  float* user() { return user_; }
  float* user_dots() { return user_dots_; }
  uint8_t* rounded_user() { return reinterpret_cast<uint8_t*>(user_ + vector_); }
  BlockMemory block(Lookahead* ahead) {
    float* vectors = block_ + kBlockRows * width_;
    float* inputs = vectors + kBlockRows * vector_;
    return {block_,
            width_,
            vectors,
            vector_,
            reinterpret_cast<uint8_t*>(inputs),
            width_ * 2,
            inputs + kBlockRows * width_ / 2,
            records_.data(),
            biases_.data(),
            ahead};
  }

 private:
  // Values, vector, rounded values, scale.
  int64_t Row() const { return width_ + vector_ + width_ / 2 + 1; }

  static int64_t ValueWidth(const RankerModel& model) {
    // Dots are stored in whole groups, and a register of zeros behind them.
    int64_t width = Rounded(model.num_crossed() + kGroup * 2, kPanel);
    width = std::max(width, Rounded(model.num_dense, kPanel));
    for (const RankerLayer& layer : model.bottom) {
      width = std::max(width, layer.padded_outputs());
    }
    for (const RankerLayer& layer : model.top) {
      width = std::max(width, layer.padded_outputs());
    }
    return width;
  }

  float* AlignedFloats() {
    const uintptr_t start = reinterpret_cast<uintptr_t>(floats_.data());
    return floats_.data() + (64 - start % 64) % 64 / sizeof(float);
  }

  static void CopyColumn(const float* from, int64_t count, float* to) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  }

  int64_t dense_, vector_, dots_, width_;
  std::vector<float> floats_;
  std::vector<const uint8_t*> records_;
  std::vector<const uint16_t*> biases_;
  float* columns_;
  float* user_;
  float* user_dots_;
  float* block_;
};

RankerUser UserOf(const RankerModel& model, const RankerRequest& request,
                  Memory& memory, RankerIsa isa) {
  if (model.num_user_rows == 0) return {nullptr, nullptr, nullptr};
  const float* row = model.users + request.user_row * model.dim();
  std::memcpy(memory.user(), row, static_cast<size_t>(model.dim()) * sizeof(float));
  const int64_t width = Rounded(model.dim(), 16);
  if (isa == RankerIsa::kAvx512Vnni) {
    avx512_vnni::RoundVector(memory.user(), width, memory.rounded_user());
  } else {
    baseline::RoundVector(memory.user(), width, memory.rounded_user());
  }
  return {memory.user(), memory.rounded_user(), memory.user_dots()};
}

}  // namespace

RankerIsa BestRankerIsa() {
  __builtin_cpu_init();
  static const bool has_it =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
  return has_it ? RankerIsa::kAvx512Vnni : RankerIsa::kBaseline;
}

void RankCandidates(const RankerModel& model, const RankerRequest& request,
                    float* logits, RankerIsa isa) {
  if (request.num_candidates <= 0) return;
  Memory memory(model);
  const RankerUser user = UserOf(model, request, memory, isa);
  const DenseColumns columns = memory.columns();
  Lookahead ahead;
  ahead.Start(model, request.item_rows, std::min(kBlockRows, request.num_candidates));
  const BlockMemory block = memory.block(&ahead);
  for (int64_t first = 0; first < request.num_candidates; first += kBlockRows) {
    const int64_t count = std::min(kBlockRows, request.num_candidates - first);
    for (int64_t row = 0; row < count; ++row) {
      const uint8_t* record =
          model.items + request.item_rows[first + row] * model.record_bytes;
      block.records[row] = record;
      block.biases[row] =
          reinterpret_cast<const uint16_t*>(record + model.vector_bytes());
    }
    ahead.FetchRest();
    const int64_t next = first + count;
    ahead.Start(model, request.item_rows + next,
                std::min(kBlockRows, request.num_candidates - next));
    const float* dense = request.dense + first * model.num_dense;
    float* to = logits + first * model.num_objectives;
    if (isa == RankerIsa::kAvx512Vnni) {
      avx512_vnni::RunBlock(model, columns, user, block, dense, count, to);
    } else {
      baseline::RunBlock(model, columns, user, block, dense, count, to);
    }
  }
}

}  // namespace stepwell::kernels
