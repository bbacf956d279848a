#include "cc/event_log/stored_frame.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

namespace stepwell::event_log {
namespace {

std::string FrameOf(int64_t offset, const Record& record) {
  std::string frame(FrameBytes(record), '\0');
  WriteFrame(Pack(offset), record, frame.data());
  return frame;
}

TEST(StoredFrame, HasTheBytesThatPythonWroteBeforeIt) {
  const std::string kGolden("\xb7\x55\x69\xb6\x03\x00\xc3\xa9\x31\x70\x61\x79\x00", 13);
  EXPECT_EQ(FrameOf(258, {"\xc3\xa9"
                          "1",
                          std::string("pay\0", 4)}),
            kGolden);
}

TEST(StoredFrame, GivesBackWhatItWasMadeOf) {
  for (const Record& record : {Record{"a", ""}, Record{std::string(300, 'i'), "p"},
                               Record{"b", std::string(100'000, '\xff')}}) {
    const auto event = ReadFrame(7, FrameOf(7, record));
    ASSERT_TRUE(event.ok()) << event.status();
    EXPECT_EQ(event->offset, 7);
    EXPECT_EQ(event->id, record.id);
    EXPECT_EQ(event->payload, record.payload);
    EXPECT_EQ(PeekId(FrameOf(7, record)), record.id);
  }
}

TEST(StoredFrame, EveryFlippedBitAndEveryMissingByteIsDataLoss) {
  const std::string frame = FrameOf(7, {"id", "payload"});
  for (size_t i = 0; i < frame.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = frame;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      EXPECT_EQ(ReadFrame(7, flipped).status().code(), absl::StatusCode::kDataLoss);
    }
    EXPECT_EQ(ReadFrame(7, frame.substr(0, i)).status().code(),
              absl::StatusCode::kDataLoss);
    EXPECT_LE(PeekId(frame.substr(0, i)).size(), i);
  }
}

TEST(StoredFrame, AtAnotherPlaceItIsDataLoss) {
  EXPECT_TRUE(ReadFrame(7, FrameOf(7, {"id", "payload"})).ok());
  EXPECT_EQ(ReadFrame(8, FrameOf(7, {"id", "payload"})).status().code(),
            absl::StatusCode::kDataLoss);
}

// Who writes the file can also compute checksums.
TEST(StoredFrame, AnIdLargerThanItsFrameIsDataLoss) {
  const std::string key(8, '\0');
  const auto frame_with_id_bytes = [&](char id_bytes) {
    const std::string body = std::string{id_bytes, '\0'} + "four";
    const std::string all = key + body;
    const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(all.data()), all.size());
    std::string frame(4, '\0');
    for (int i = 0; i < 4; ++i) frame[i] = static_cast<char>(crc >> (8 * i) & 0xff);
    return frame + body;
  };
  EXPECT_EQ(ReadFrame(0, frame_with_id_bytes(4))->id, "four");
  EXPECT_EQ(ReadFrame(0, frame_with_id_bytes(5)).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(PeekId(frame_with_id_bytes(5)), "four");
}

TEST(PackedNumber, SortsAsItsNumber) {
  std::string before;
  for (const int64_t number : {int64_t{0}, int64_t{1}, int64_t{255}, int64_t{256},
                               int64_t{1} << 40, INT64_MAX}) {
    const PackedNumber packed = Pack(number);
    const std::string bytes(packed.data(), packed.size());
    EXPECT_LT(before, bytes);
    EXPECT_EQ(*Unpack(bytes), number);
    before = bytes;
  }
}

TEST(PackedNumber, WhatIsNoNumberIsDataLoss) {
  for (const std::string& bytes : {std::string(), std::string(7, '\0'),
                                   std::string(9, '\0'), std::string(8, '\xff')}) {
    EXPECT_EQ(Unpack(bytes).status().code(), absl::StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace stepwell::event_log
