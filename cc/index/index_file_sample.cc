#include "cc/index/index_file_sample.h"

#include <algorithm>
#include <cstring>

#include "cc/base/crc32c.h"

namespace stepwell::index {
namespace {

bool IsFree(const SampleOptions& options, int64_t node) {
  return options.has_free_nodes && node % 7 == 6;
}

bool IsDead(const SampleOptions& options, int64_t node) {
  return options.has_free_nodes && node % 7 == 5;
}

int64_t LabelOf(const SampleOptions& options, int64_t node) {
  if (IsFree(options, node)) return kNoLabel;
  return IsDead(options, node) ? kDeadLabel : 10 * (options.num_nodes - node);
}

int LevelOf(int64_t node) { return static_cast<int>(node % 3); }

class Sample {
 public:
  explicit Sample(const SampleOptions& options)
      : options_(options), header_(SampleHeader(options)), layout_(header_) {
    file_.resize(layout_.file_bytes());
  }

  std::string Bytes() {
    PutLabels();
    PutVectors();
    if (options_.kind == IndexFileKind::kHnsw) {
      PutCodes();
      PutLinks();
    }
    const RawIndexHeader raw = ToRaw(header_, layout_);
    std::memcpy(file_.data(), &raw, sizeof(raw));
    MendIndexFile(file_);
    return file_;
  }

 private:
  template <typename T>
  void Put(IndexSection section, int64_t at, T value) {
    std::memcpy(&file_[layout_.payload_offset() + layout_.extent(section).offset +
                       at * sizeof(T)],
                &value, sizeof(T));
  }

  void PutLabels() {
    int64_t place = header_.num_items;
    for (int64_t node = 0; node < header_.num_nodes; ++node) {
      const int64_t label = LabelOf(options_, node);
      Put<int64_t>(IndexSection::kLabels, node, label);
      if (label >= 0) {
        Put<uint32_t>(IndexSection::kNodesByLabel, --place,
                      static_cast<uint32_t>(node));
      }
      if (options_.kind == IndexFileKind::kHnsw) {
        Put<uint8_t>(IndexSection::kLevels, node, static_cast<uint8_t>(LevelOf(node)));
      }
    }
  }

  float Value(int64_t i) const { return static_cast<float>(i % 11 + 1) / 16; }

  void PutVectors() {
    if (!header_.keep_vectors) return;
    for (int64_t i = 0; i < header_.num_nodes * header_.dim; ++i) {
      Put<float>(IndexSection::kVectors, i, Value(i));
    }
  }

  void PutCodes() {
    const VectorCodec codec(header_.codes, header_.metric, header_.dim,
                            header_.code_limit);
    std::vector<float> vector(header_.dim);
    std::vector<char> code(codec.code_stride());
    for (int64_t node = 0; node < header_.num_nodes; ++node) {
      for (int64_t i = 0; i < header_.dim; ++i) {
        vector[i] = Value(node * header_.dim + i);
      }
      codec.Encode(vector.data(), code.data());
      for (size_t i = 0; i < code.size(); ++i) {
        Put<char>(IndexSection::kCodes, node * code.size() + i, code[i]);
      }
    }
  }

  void PutLinks() {
    int64_t list = 0;
    for (int64_t node = 0; node < header_.num_nodes; ++node) {
      PutList(IndexSection::kBaseLinks, node, 2 * header_.m, node, 0);
      for (int level = 1; level <= LevelOf(node); ++level) {
        PutList(IndexSection::kUpperLinks, list++, header_.m, node, level);
      }
    }
  }

  // The next nodes that reach the level, one place left empty.
  void PutList(IndexSection section, int64_t row, int64_t size, int64_t node,
               int level) {
    int64_t filled = 0;
    for (int64_t step = 1; step < header_.num_nodes; ++step) {
      const int64_t to = (node + step) % header_.num_nodes;
      if (filled + 1 >= size || IsFree(options_, node)) break;
      if (LevelOf(to) < level || IsFree(options_, to)) continue;
      Put<uint32_t>(section, row * size + filled++, static_cast<uint32_t>(to));
    }
    for (; filled < size; ++filled)
      Put<uint32_t>(section, row * size + filled, kNoNode);
  }

  const SampleOptions options_;
  const IndexFileHeader header_;
  const IndexFileLayout layout_;
  std::string file_;
};

}  // namespace

IndexFileHeader SampleHeader(const SampleOptions& options) {
  IndexFileHeader header;
  header.kind = options.kind;
  header.metric = options.metric;
  header.dim = options.dim;
  header.num_nodes = options.num_nodes;
  header.num_items = options.num_nodes;
  header.block_bytes = options.block_bytes;
  if (options.kind == IndexFileKind::kFlat) return header;
  header.num_items = 0;
  for (int64_t node = 0; node < options.num_nodes; ++node) {
    header.num_items += LabelOf(options, node) >= 0;
    header.num_upper_lists += LevelOf(node);
    if (LevelOf(node) > header.max_level && !IsFree(options, node)) {
      header.max_level = LevelOf(node);
      header.entry_node = static_cast<uint32_t>(node);
    }
  }
  header.m = options.m;
  header.ef_construction = 100;
  header.codes = options.codes;
  header.keep_vectors = options.keep_vectors && options.codes != CodeKind::kFloat32;
  header.code_stride = static_cast<int64_t>(
      VectorCodec(options.codes, options.metric, options.dim, 1).code_stride());
  return header;
}

std::string SampleIndexFile(const SampleOptions& options) {
  return Sample(options).Bytes();
}

void MendIndexFile(std::string& file) {
  RawIndexHeader raw;
  if (file.size() < sizeof(raw)) return;
  std::memcpy(&raw, file.data(), sizeof(raw));
  const IndexFileHeader header = FromRaw(raw);
  if (CheckIndexFileHeader(header).ok()) {
    const IndexFileLayout layout(header);
    raw.file_bytes = layout.file_bytes();
    if (layout.payload_offset() <= file.size()) {
      for (uint64_t block = 0; block < layout.num_blocks(); ++block) {
        const uint64_t begin = layout.payload_offset() + block * header.block_bytes;
        if (begin >= file.size()) break;
        const uint64_t size =
            std::min<uint64_t>(header.block_bytes, file.size() - begin);
        const uint32_t crc = ExtendCrc32c(0, &file[begin], size);
        std::memcpy(&file[sizeof(raw) + block * sizeof(crc)], &crc, sizeof(crc));
      }
      raw.table_crc32c =
          ExtendCrc32c(0, &file[sizeof(raw)], layout.payload_offset() - sizeof(raw));
    }
  }
  raw.header_crc32c = HeaderCrc32c(raw);
  std::memcpy(file.data(), &raw, sizeof(raw));
}

}  // namespace stepwell::index
