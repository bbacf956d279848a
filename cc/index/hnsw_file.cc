// How an HnswIndex becomes a file and back.
#include <algorithm>
#include <cstring>
#include <exception>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"
#include "cc/index/hnsw_index.h"
#include "cc/index/input_checks.h"

namespace stepwell::index {
namespace {

// Unused places of a list are written as zeros, whatever an older link left
// there.
void CopyLinks(const uint32_t* links, std::vector<uint32_t>& row) {
  std::fill(row.begin(), row.end(), 0);
  std::copy_n(links, 1 + links[0], row.begin());
}

// Checks the links of one node on one level before the graph can follow them.
absl::Status CheckLinks(const uint32_t* links, uint32_t node, int level,
                        int64_t max_links, absl::Span<const uint8_t> levels) {
  const uint32_t num_links = links[0];
  if (num_links > max_links) {
    return absl::DataLossError(absl::StrCat("node ", node, " has ", num_links,
                                            " links on level ", level,
                                            ", the limit is ", max_links));
  }
  for (uint32_t i = 1; i <= num_links; ++i) {
    const uint32_t to = links[i];
    if (to >= levels.size() || to == node || levels[to] < level) {
      return absl::DataLossError(absl::StrCat("node ", node, " links to ", to,
                                              " on level ", level,
                                              ", which is no such node"));
    }
  }
  return absl::OkStatus();
}

// Level and entry of the header fit the nodes.
absl::Status CheckEntry(const FileHeader& header, absl::Span<const uint8_t> levels) {
  if (levels.empty()) {
    return header.max_level == -1 ? absl::OkStatus()
                                  : absl::DataLossError("levels without nodes");
  }
  const int highest = *std::max_element(levels.begin(), levels.end());
  if (header.max_level != highest || header.entry_row >= levels.size() ||
      levels[header.entry_row] != highest) {
    return absl::DataLossError("the entry node is not on the highest level");
  }
  return absl::OkStatus();
}

HnswOptions OptionsOf(const FileHeader& header) {
  HnswOptions options;
  options.dim = header.dim;
  options.metric = header.metric;
  options.m = header.m;
  options.ef_construction = header.ef_construction;
  options.seed = header.seed;
  options.space_hash = header.space_hash;
  return options;
}

absl::Status CheckSectionSizes(const IndexFileReader& reader) {
  const FileHeader& header = reader.header();
  const std::pair<Section, uint64_t> row_bytes[] = {
      {Section::kLabels, sizeof(int64_t)},
      {Section::kVectors, header.dim * sizeof(float)},
      {Section::kDeleted, 1},
      {Section::kLevels, 1},
      {Section::kBaseLinks, (1 + 2 * uint64_t{header.m}) * sizeof(uint32_t)},
  };
  for (const auto& [section, bytes] : row_bytes) {
    if (reader.SectionSize(section) == header.count * bytes) continue;
    return absl::DataLossError(absl::StrCat("section ", static_cast<uint32_t>(section),
                                            " has ", reader.SectionSize(section),
                                            " bytes, ", header.count, " items need ",
                                            header.count * bytes));
  }
  return absl::OkStatus();
}

}  // namespace

FileHeader HnswIndex::MakeHeader() const {
  FileHeader header;
  header.kind = IndexKind::kHnsw;
  header.metric = options_.metric;
  header.dim = static_cast<uint32_t>(options_.dim);
  header.m = static_cast<uint32_t>(options_.m);
  header.ef_construction = static_cast<uint32_t>(options_.ef_construction);
  header.count = static_cast<uint64_t>(labels_.size());
  header.max_level = graph_.max_level();
  header.entry_row = labels_.size() == 0 ? 0 : graph_.entry_node();
  header.seed = options_.seed;
  header.space_hash = options_.space_hash;
  return header;
}

absl::Status HnswIndex::Save(const std::string& path) const {
  absl::ReaderMutexLock lock(&mutex_);
  STEPWELL_ASSIGN_OR_RETURN(auto writer, IndexFileWriter::Create(path));
  STEPWELL_RETURN_IF_ERROR(WriteSections(*writer));
  return writer->Commit(MakeHeader());
}

absl::Status HnswIndex::WriteSections(IndexFileWriter& writer) const {
  const auto num_nodes = static_cast<uint32_t>(labels_.size());
  std::vector<uint8_t> deleted(num_nodes), levels(num_nodes);
  for (uint32_t node = 0; node < num_nodes; ++node) {
    deleted[node] = deleted_rows_.Test(node);
    levels[node] = static_cast<uint8_t>(graph_.level(node));
  }
  STEPWELL_RETURN_IF_ERROR(writer.AddSection(
      Section::kLabels, AsBytes(absl::MakeConstSpan(labels_.labels()))));
  STEPWELL_RETURN_IF_ERROR(
      writer.AddSection(Section::kDeleted, AsBytes(absl::MakeConstSpan(deleted))));
  STEPWELL_RETURN_IF_ERROR(
      writer.AddSection(Section::kLevels, AsBytes(absl::MakeConstSpan(levels))));
  STEPWELL_RETURN_IF_ERROR(writer.BeginSection(Section::kVectors));
  for (uint32_t node = 0; node < num_nodes; ++node) {
    STEPWELL_RETURN_IF_ERROR(
        writer.Append(AsBytes(absl::MakeConstSpan(graph_.vector(node), options_.dim))));
  }
  std::vector<uint32_t> row(1 + 2 * options_.m);
  STEPWELL_RETURN_IF_ERROR(writer.BeginSection(Section::kBaseLinks));
  for (uint32_t node = 0; node < num_nodes; ++node) {
    CopyLinks(graph_.Links(node, 0), row);
    STEPWELL_RETURN_IF_ERROR(writer.Append(AsBytes(absl::MakeConstSpan(row))));
  }
  row.resize(1 + options_.m);
  STEPWELL_RETURN_IF_ERROR(writer.BeginSection(Section::kUpperLinks));
  for (uint32_t node = 0; node < num_nodes; ++node) {
    for (int level = 1; level <= graph_.level(node); ++level) {
      CopyLinks(graph_.Links(node, level), row);
      STEPWELL_RETURN_IF_ERROR(writer.Append(AsBytes(absl::MakeConstSpan(row))));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<HnswIndex>> HnswIndex::Open(
    const std::string& path, const SpaceHash* expected_space_hash) {
  STEPWELL_ASSIGN_OR_RETURN(auto reader, IndexFileReader::Open(path));
  STEPWELL_RETURN_IF_ERROR(reader->CheckIs(IndexKind::kHnsw, expected_space_hash));
  const HnswOptions options = OptionsOf(reader->header());
  STEPWELL_RETURN_IF_ERROR(reader->CheckContent(CheckHnswOptions(options)));
  // From here on a count is no larger than the file: allocation is safe.
  STEPWELL_RETURN_IF_ERROR(reader->CheckContent(CheckSectionSizes(*reader)));
  try {
    std::unique_ptr<HnswIndex> index(
        new HnswIndex(options, static_cast<int64_t>(reader->header().count)));
    STEPWELL_RETURN_IF_ERROR(index->ReadRows(*reader));
    return index;
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("opening ", path, ": ", error.what()));
  }
}

absl::Status HnswIndex::ReadRows(IndexFileReader& reader) {
  const FileHeader& header = reader.header();
  STEPWELL_ASSIGN_OR_RETURN(const std::vector<int64_t> labels,
                            reader.ReadArray<int64_t>(Section::kLabels, header.count));
  STEPWELL_ASSIGN_OR_RETURN(const std::vector<uint8_t> deleted,
                            reader.ReadArray<uint8_t>(Section::kDeleted, header.count));
  STEPWELL_ASSIGN_OR_RETURN(const std::vector<uint8_t> levels,
                            reader.ReadArray<uint8_t>(Section::kLevels, header.count));
  STEPWELL_RETURN_IF_ERROR(reader.CheckContent(CheckIds(labels)));
  STEPWELL_RETURN_IF_ERROR(reader.CheckContent(CheckEntry(header, levels)));
  const uint64_t num_upper = std::accumulate(levels.begin(), levels.end(), uint64_t{0});
  if (reader.SectionSize(Section::kUpperLinks) !=
      num_upper * (1 + options_.m) * sizeof(uint32_t)) {
    return reader.CheckContent(
        absl::DataLossError("the upper links do not fit the levels"));
  }
  for (size_t row = 0; row < labels.size(); ++row) labels_.Append(labels[row]);
  deleted_rows_ = IdBitmap::FromFlags(deleted);
  num_deleted_ = deleted_rows_.CountSet();
  graph_.Adopt({levels, header.max_level, header.entry_row});
  STEPWELL_RETURN_IF_ERROR(ReadVectors(reader));
  STEPWELL_RETURN_IF_ERROR(ReadBaseLinks(reader, levels));
  return ReadUpperLinks(reader, levels);
}

absl::Status HnswIndex::ReadVectors(IndexFileReader& reader) {
  const uint64_t bytes = options_.dim * sizeof(float);
  uint32_t node = 0;
  absl::Status content;
  STEPWELL_RETURN_IF_ERROR(reader.ReadSection(
      Section::kVectors, labels_.size() * bytes, bytes,
      [&](absl::Span<const char> rows) {
        for (; !rows.empty(); rows.remove_prefix(bytes), ++node) {
          float* vector = graph_.mutable_vector(node);
          std::memcpy(vector, rows.data(), bytes);
          content.Update(CheckVectors(absl::MakeConstSpan(vector, options_.dim),
                                      options_.dim, 1, options_.metric, "vectors"));
        }
      }));
  return reader.CheckContent(content);
}

absl::Status HnswIndex::ReadBaseLinks(IndexFileReader& reader,
                                      absl::Span<const uint8_t> levels) {
  const int64_t max_links = 2 * options_.m;
  const uint64_t bytes = (1 + max_links) * sizeof(uint32_t);
  uint32_t node = 0;
  absl::Status content;
  STEPWELL_RETURN_IF_ERROR(reader.ReadSection(
      Section::kBaseLinks, levels.size() * bytes, bytes,
      [&](absl::Span<const char> rows) {
        for (; !rows.empty(); rows.remove_prefix(bytes), ++node) {
          uint32_t* links = graph_.mutable_links(node, 0);
          std::memcpy(links, rows.data(), bytes);
          content.Update(CheckLinks(links, node, 0, max_links, levels));
        }
      }));
  return reader.CheckContent(content);
}

absl::Status HnswIndex::ReadUpperLinks(IndexFileReader& reader,
                                       absl::Span<const uint8_t> levels) {
  const int64_t max_links = options_.m;
  const uint64_t bytes = (1 + max_links) * sizeof(uint32_t);
  uint32_t node = 0;
  int level = 0;
  absl::Status content;
  STEPWELL_RETURN_IF_ERROR(reader.ReadSection(
      Section::kUpperLinks, reader.SectionSize(Section::kUpperLinks), bytes,
      [&](absl::Span<const char> rows) {
        for (; !rows.empty(); rows.remove_prefix(bytes)) {
          // The section's size is the sum of the levels: a next node exists.
          for (; level == levels[node]; level = 0) ++node;
          ++level;
          uint32_t* links = graph_.mutable_links(node, level);
          std::memcpy(links, rows.data(), bytes);
          content.Update(CheckLinks(links, node, level, max_links, levels));
        }
      }));
  return reader.CheckContent(content);
}

}  // namespace stepwell::index
