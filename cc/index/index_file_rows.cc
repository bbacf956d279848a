#include "cc/index/index_file_rows.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace stepwell::index {
namespace {

// A row whose squared norm is far above the range of float32 makes distances that do
// not order; what is a little above came from rounding a vector that was accepted.
constexpr double kLargestSquaredNorm = FLT_MAX * 1.02;

// Eight sums at once, which the compiler turns into instructions for vectors. Not
// finite where an element is not.
template <typename Value>
float SumOfSquares(const Value* row, int64_t n, float (*to_float)(Value)) {
  float sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int lane = 0; lane < 8; ++lane) {
      const float value = to_float(row[i + lane]);
      sums[lane] += value * value;
    }
  }
  for (; i < n; ++i) sums[0] += to_float(row[i]) * to_float(row[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
         ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

template <typename Value>
bool IsUsable(const Value* row, int64_t n, bool zero_is_usable,
              float (*to_float)(Value)) {
  const float fast = SumOfSquares(row, n, to_float);
  if (fast > 0 && fast <= FLT_MAX) return true;
  double exact = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double value = to_float(row[i]);
    exact += value * value;
  }
  return exact <= kLargestSquaredNorm && (exact > 0 || zero_is_usable);
}

inline float FromFloat32(float value) { return value; }

inline float FromBfloat16(uint16_t high) {
  return std::bit_cast<float>(uint32_t{high} << 16);
}

bool AllZero(const char* from, const char* end) {
  return std::all_of(from, end, [](char byte) { return byte == 0; });
}

// Whether a whole list is other nodes, then kNoNode; without a branch, so that the
// compiler turns it into instructions for vectors.
bool AreLinks(const uint32_t* links, int64_t size, uint32_t node, uint32_t num_nodes) {
  uint32_t bad = links[size - 1] == node;
  bad |= (links[size - 1] >= num_nodes) & (links[size - 1] != kNoNode);
  for (int64_t i = 0; i + 1 < size; ++i) {
    const uint32_t is_end = links[i] == kNoNode;
    bad |= (links[i] >= num_nodes) & (1 ^ is_end);
    bad |= links[i] == node;
    bad |= is_end & (links[i + 1] != kNoNode);
  }
  return bad == 0;
}

absl::Status NotUsable(const char* what, int64_t node) {
  return absl::DataLossError(absl::StrCat(what, " of node ", node,
                                          " is not finite, zero under cosine, or of a"
                                          " squared norm above the range of float32"));
}

}  // namespace

IndexFileRows::IndexFileRows(const IndexFileView& view)
    : view_(view),
      header_(view.header()),
      labels_(view.values<int64_t>(IndexSection::kLabels).data()),
      levels_(view.values<uint8_t>(IndexSection::kLevels).data()),
      nodes_by_label_(view.values<uint32_t>(IndexSection::kNodesByLabel).data()) {
  if (header_.num_items == header_.num_nodes) return;
  free_nodes_.resize((header_.num_nodes + 63) / 64);
  for (int64_t node = 0; node < header_.num_nodes; ++node) {
    if (labels_[node] == kNoLabel) free_nodes_[node / 64] |= uint64_t{1} << (node % 64);
  }
}

absl::Status IndexFileRows::CheckRows(IndexSection section, int64_t first,
                                      int64_t end) {
  switch (section) {
    case IndexSection::kLabels:
      return CheckLabels(first, end);
    case IndexSection::kLevels:
      return CheckLevels(first, end);
    case IndexSection::kNodesByLabel:
      return CheckNodesByLabel(first, end);
    case IndexSection::kBaseLinks:
      return CheckBaseLinks(first, end);
    case IndexSection::kUpperLinks:
      return absl::OkStatus();  // CheckUpperLinks
    case IndexSection::kCodes:
      return CheckCodes(first, end);
    case IndexSection::kVectors:
      return CheckVectors(first, end);
  }
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckLabels(int64_t first, int64_t end) {
  int64_t num_labels = 0;
  for (int64_t node = first; node < end; ++node) {
    if (labels_[node] < kDeadLabel) {
      return absl::DataLossError(
          absl::StrCat("the label of node ", node, " is ", labels_[node]));
    }
    num_labels += labels_[node] >= 0;
  }
  num_labels_.fetch_add(num_labels);
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckLevels(int64_t first, int64_t end) {
  int64_t sum = 0;
  for (int64_t node = first; node < end; ++node) {
    if (levels_[node] > kMaxLevel) {
      return absl::DataLossError(absl::StrCat("the level of node ", node, " is ",
                                              levels_[node], ", must be in [0, ",
                                              kMaxLevel, "]"));
    }
    sum += levels_[node];
  }
  num_levels_.fetch_add(sum);
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckNodesByLabel(int64_t first, int64_t end) const {
  const auto num_nodes = static_cast<uint32_t>(header_.num_nodes);
  // The one before a range belongs to another one, which may not have been checked.
  int64_t before = -1;
  if (first > 0 && nodes_by_label_[first - 1] < num_nodes) {
    before = labels_[nodes_by_label_[first - 1]];
  }
  for (int64_t place = first; place < end; ++place) {
    const uint32_t node = nodes_by_label_[place];
    if (node >= num_nodes) {
      return absl::DataLossError(absl::StrCat("place ", place, " of nodes_by_label is ",
                                              node, ", of ", num_nodes, " nodes"));
    }
    const int64_t label = labels_[node];
    if (label <= before) {
      return absl::DataLossError(absl::StrCat(
          "label ", label, " of node ", node, " at place ", place,
          " of nodes_by_label does not follow ", before, ": twice, or out of order"));
    }
    before = label;
  }
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckLinks(const uint32_t* links, int64_t size,
                                       int64_t node, int level) const {
  const auto num_nodes = static_cast<uint32_t>(header_.num_nodes);
  if (free_nodes_.empty() && level == 0 && AreLinks(links, size, node, num_nodes)) {
    return absl::OkStatus();
  }
  bool ended = false;
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t to = links[i];
    if (to == kNoNode) {
      ended = true;
      continue;
    }
    if (ended || to >= num_nodes || to == node || IsFree(to) ||
        (level > 0 && levels_[to] < level)) {
      return absl::DataLossError(absl::StrCat(
          "node ", node, " links to ", to, " on level ", level,
          ended ? " behind the end of the list" : ", which is no such node"));
    }
  }
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckBaseLinks(int64_t first, int64_t end) const {
  const int64_t size = 2 * header_.m;
  const uint32_t* links =
      view_.values<uint32_t>(IndexSection::kBaseLinks).data() + first * size;
  for (int64_t node = first; node < end; ++node, links += size) {
    STEPWELL_RETURN_IF_ERROR(CheckLinks(links, size, node, 0));
  }
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckUpperLinks() const {
  const uint32_t* links = view_.values<uint32_t>(IndexSection::kUpperLinks).data();
  int64_t num_left = header_.num_upper_lists;
  for (int64_t node = 0; num_left > 0 && node < header_.num_nodes; ++node) {
    const int64_t num_lists = std::min<int64_t>(levels_[node], num_left);
    for (int level = 1; level <= num_lists; ++level, links += header_.m) {
      STEPWELL_RETURN_IF_ERROR(CheckLinks(links, header_.m, node, level));
    }
    num_left -= num_lists;
  }
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckVectors(int64_t first, int64_t end) const {
  const float* row =
      view_.values<float>(IndexSection::kVectors).data() + first * header_.dim;
  for (int64_t node = first; node < end; ++node, row += header_.dim) {
    if (IsUsable(row, header_.dim, MayBeZero(node), FromFloat32)) continue;
    if (labels_[node] != kNoLabel) return NotUsable("the vector", node);
  }
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckCodes(int64_t first, int64_t end) const {
  const auto stride = static_cast<size_t>(header_.code_stride);
  const auto dim = static_cast<size_t>(header_.dim);
  const char* code = view_.bytes(IndexSection::kCodes).data() + first * stride;
  const size_t int8_bytes = (dim + 15) / 16 * 16;
  const bool has_norm =
      header_.codes == CodeKind::kInt8 && header_.metric == Metric::kL2;
  for (int64_t node = first; node < end; ++node, code += stride) {
    bool usable = true;
    size_t used = 0;
    if (header_.codes == CodeKind::kFloat32) {
      used = dim * sizeof(float);
      usable = IsUsable(reinterpret_cast<const float*>(code), header_.dim,
                        MayBeZero(node), FromFloat32);
    } else if (header_.codes == CodeKind::kBfloat16) {
      used = dim * sizeof(uint16_t);
      // Zero too: what is no zero as float32 may be one in eight bits.
      usable = IsUsable(reinterpret_cast<const uint16_t*>(code), header_.dim, true,
                        FromBfloat16);
    } else {
      used = int8_bytes;
      if (has_norm) {
        float norm;
        std::memcpy(&norm, code + int8_bytes, sizeof(norm));
        used += sizeof(norm);
        usable = norm >= 0 && norm <= FLT_MAX;
      }
    }
    if (labels_[node] == kNoLabel) continue;
    if (!usable) return NotUsable("the code", node);
    if (!AllZero(code + used, code + stride)) {
      return absl::DataLossError(
          absl::StrCat("bytes behind the code of node ", node, " are not zero"));
    }
  }
  return absl::OkStatus();
}

absl::Status IndexFileRows::CheckTotals() const {
  if (num_labels_ != header_.num_items) {
    return absl::DataLossError(absl::StrCat(num_labels_.load(),
                                            " nodes have a label, the header says ",
                                            header_.num_items));
  }
  if (header_.kind == IndexFileKind::kFlat) return absl::OkStatus();
  if (num_levels_ != header_.num_upper_lists) {
    return absl::DataLossError(absl::StrCat("the levels ask for ", num_levels_.load(),
                                            " upper lists, the header says ",
                                            header_.num_upper_lists));
  }
  if (header_.entry_node == kNoNode) return absl::OkStatus();
  if (labels_[header_.entry_node] == kNoLabel ||
      levels_[header_.entry_node] < header_.max_level) {
    return absl::DataLossError(
        absl::StrCat("the entry node ", header_.entry_node,
                     " is a free place, or does not reach level ", header_.max_level));
  }
  return absl::OkStatus();
}

}  // namespace stepwell::index
