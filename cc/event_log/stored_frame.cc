#include "cc/event_log/stored_frame.h"

#include <zlib.h>

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace stepwell::event_log {
namespace {

constexpr size_t kChecksumBytes = 4;
constexpr size_t kHeadBytes = kChecksumBytes + 2;

uint32_t Checksum(const PackedNumber& offset, absl::string_view body) {
  const auto bytes_of = [](const char* data) {
    return reinterpret_cast<const Bytef*>(data);
  };
  const uLong crc = crc32_z(0, bytes_of(offset.data()), offset.size());
  return static_cast<uint32_t>(crc32_z(crc, bytes_of(body.data()), body.size()));
}

void PutLittleEndian(uint32_t number, size_t num_bytes, char* out) {
  for (size_t i = 0; i < num_bytes; ++i) {
    out[i] = static_cast<char>((number >> (8 * i)) & 0xff);
  }
}

uint32_t GetLittleEndian(absl::string_view bytes) {
  uint32_t number = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    number |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  return number;
}

}  // namespace

PackedNumber Pack(int64_t number) {
  PackedNumber packed;
  for (int i = 0; i < 8; ++i) {
    packed[i] =
        static_cast<char>((static_cast<uint64_t>(number) >> (56 - 8 * i)) & 0xff);
  }
  return packed;
}

absl::StatusOr<int64_t> Unpack(absl::string_view bytes) {
  uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<uint8_t>(byte);
  if (bytes.size() != sizeof(number) || number >> 63 != 0) {
    return absl::DataLossError(
        absl::StrCat(bytes.size(), " bytes stand where an offset should"));
  }
  return static_cast<int64_t>(number);
}

size_t FrameBytes(const Record& record) {
  return kHeadBytes + record.id.size() + record.payload.size();
}

void WriteFrame(const PackedNumber& offset, const Record& record, char* out) {
  PutLittleEndian(static_cast<uint32_t>(record.id.size()), 2, out + kChecksumBytes);
  std::memcpy(out + kHeadBytes, record.id.data(), record.id.size());
  std::memcpy(out + kHeadBytes + record.id.size(), record.payload.data(),
              record.payload.size());
  const absl::string_view body(out + kChecksumBytes,
                               FrameBytes(record) - kChecksumBytes);
  PutLittleEndian(Checksum(offset, body), kChecksumBytes, out);
}

absl::string_view PeekId(absl::string_view frame) {
  if (frame.size() < kHeadBytes) return {};
  const size_t id_bytes = GetLittleEndian(frame.substr(kChecksumBytes, 2));
  return frame.substr(kHeadBytes, id_bytes);
}

absl::StatusOr<StoredEvent> ReadFrame(int64_t offset, absl::string_view frame) {
  if (frame.size() < kHeadBytes) {
    return absl::DataLossError(
        absl::StrCat("event ", offset, " is ", frame.size(), " bytes"));
  }
  const absl::string_view body = frame.substr(kChecksumBytes);
  const size_t id_bytes = GetLittleEndian(body.substr(0, 2));
  if (GetLittleEndian(frame.substr(0, kChecksumBytes)) !=
          Checksum(Pack(offset), body) ||
      id_bytes > frame.size() - kHeadBytes) {
    return absl::DataLossError(absl::StrCat("event ", offset, " fails its checksum"));
  }
  return StoredEvent{.offset = offset,
                     .id = std::string(frame.substr(kHeadBytes, id_bytes)),
                     .payload = std::string(frame.substr(kHeadBytes + id_bytes))};
}

}  // namespace stepwell::event_log
