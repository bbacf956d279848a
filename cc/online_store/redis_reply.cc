#include "cc/online_store/redis_reply.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace stepwell::online_store {
namespace {

constexpr size_t kMaxLineBytes = 64 << 10;
constexpr int64_t kMaxItems = 1 << 20;
constexpr absl::string_view kEndOfLine = "\r\n";

enum class Progress { kDone, kMore, kBad };

// Walks over bytes that may end anywhere.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : rest_(bytes) {}

  absl::string_view rest() const { return rest_; }

  // A line without its end; its first byte is the kind of what follows.
  Progress Line(absl::string_view& line) {
    const size_t end = rest_.substr(0, kMaxLineBytes).find(kEndOfLine);
    if (end == absl::string_view::npos) {
      return rest_.size() < kMaxLineBytes ? Progress::kMore : Progress::kBad;
    }
    line = rest_.substr(0, end);
    rest_.remove_prefix(end + kEndOfLine.size());
    return line.empty() ? Progress::kBad : Progress::kDone;
  }

  // So many bytes and the end of a line.
  Progress Bytes(int64_t size, absl::string_view& bytes) {
    const auto count = static_cast<size_t>(size);
    if (rest_.size() < count + kEndOfLine.size()) return Progress::kMore;
    if (rest_.substr(count, kEndOfLine.size()) != kEndOfLine) return Progress::kBad;
    bytes = rest_.substr(0, count);
    rest_.remove_prefix(count + kEndOfLine.size());
    return Progress::kDone;
  }

  // What follows a line of any kind, with all that is in it.
  Progress PassBy(absl::string_view line) {
    for (int64_t left = 1; left > 0;) {
      int64_t inside = 0;
      if (const Progress it = PassByOne(line, inside); it != Progress::kDone) return it;
      left += inside - 1;
      if (left > kMaxItems) return Progress::kBad;
      if (left == 0) break;
      if (const Progress it = Line(line); it != Progress::kDone) return it;
    }
    return Progress::kDone;
  }

  // The number after a line's first byte; -1 stands for nothing.
  static bool Count(absl::string_view line, int64_t most, int64_t& count) {
    return absl::SimpleAtoi(line.substr(1), &count) && count >= -1 && count <= most;
  }

 private:
  // Of what a line begins: text, or how many values are inside.
  Progress PassByOne(absl::string_view line, int64_t& inside) {
    const bool is_text = line[0] == '$' || line[0] == '!' || line[0] == '=';
    const bool is_map = line[0] == '%' || line[0] == '|';
    const bool is_list = line[0] == '*' || line[0] == '~' || line[0] == '>' || is_map;
    if (!is_text && !is_list) return Progress::kDone;
    int64_t count = 0;
    if (!Count(line, is_text ? kMaxBlobBytes : kMaxItems, count)) return Progress::kBad;
    absl::string_view bytes;
    if (is_text && count >= 0) return Bytes(count, bytes);
    inside = is_text || count < 0 ? 0 : count * (is_map ? 2 : 1);
    return Progress::kDone;
  }

  absl::string_view rest_;
};

// The blobs' places in the bytes that came; copied when all are there.
using Place = std::optional<absl::string_view>;

Progress ReadPlace(Reader& reader, Place& place) {
  absl::string_view line;
  if (const Progress it = reader.Line(line); it != Progress::kDone) return it;
  if (line == "_") return Progress::kDone;
  int64_t size = 0;
  if (line[0] != '$' || !Reader::Count(line, kMaxBlobBytes, size)) {
    return Progress::kBad;
  }
  return size < 0 ? Progress::kDone : reader.Bytes(size, place.emplace());
}

Progress ReadPlaces(Reader& reader, absl::string_view line,
                    std::vector<Place>& places) {
  int64_t count = 0;
  if (!Reader::Count(line, kMaxItems, count)) return Progress::kBad;
  for (int64_t i = 0; i < count; ++i) {
    Place place;
    const Progress it = ReadPlace(reader, place);
    if (it != Progress::kDone) return it;
    places.push_back(place);
  }
  return Progress::kDone;
}

Progress ReadError(Reader& reader, absl::string_view line, RedisReply& reply) {
  absl::string_view text = line.substr(1);
  int64_t size = 0;
  if (line[0] == '!') {
    if (!Reader::Count(line, kMaxBlobBytes, size) || size < 0) return Progress::kBad;
    if (const Progress it = reader.Bytes(size, text); it != Progress::kDone) return it;
  }
  reply.error.emplace(text);
  return Progress::kDone;
}

Progress ReadOne(Reader& reader, RedisReply& reply) {
  absl::string_view line;
  Progress it = reader.Line(line);
  while (it == Progress::kDone && line[0] == '>') {
    it = reader.PassBy(line);
    if (it == Progress::kDone) it = reader.Line(line);
  }
  if (it != Progress::kDone) return it;
  if (line[0] == '-' || line[0] == '!') return ReadError(reader, line, reply);
  if (line[0] == '+') return Progress::kDone;
  if (line[0] != '*') return Progress::kBad;
  std::vector<Place> places;
  it = ReadPlaces(reader, line, places);
  if (it != Progress::kDone) return it;
  reply.blobs.reserve(places.size());
  for (const Place& place : places) reply.blobs.emplace_back(place);
  return Progress::kDone;
}

}  // namespace

absl::StatusOr<size_t> ReadReply(absl::string_view bytes, RedisReply& reply) {
  reply = {};
  Reader reader(bytes);
  switch (ReadOne(reader, reply)) {
    case Progress::kDone:
      return bytes.size() - reader.rest().size();
    case Progress::kMore:
      return 0;
    case Progress::kBad:
      break;
  }
  return absl::DataLossError("the server replies what is no reply to MGET");
}

}  // namespace stepwell::online_store
