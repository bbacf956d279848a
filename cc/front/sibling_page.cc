#include "cc/front/sibling_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::front {
namespace {

constexpr int kMostTries = 16;
constexpr int kGenerationShift = 32;
constexpr uint64_t kCountMask = (uint64_t{1} << kGenerationShift) - 1;

uint32_t GenerationOf(uint64_t word) {
  return static_cast<uint32_t>(word >> kGenerationShift);
}

int64_t CountOf(uint64_t word) { return static_cast<int64_t>(word & kCountMask) - 1; }

absl::Status Failed(absl::string_view what) {
  return absl::UnavailableError(
      absl::StrCat("cannot ", what, " the page of siblings: ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SiblingPage>> SiblingPage::Create(int num_slots) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("num_slots", num_slots, 1, kMostSlots));
  Descriptor memory(memfd_create("siblings", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const auto size = static_cast<off_t>(num_slots * sizeof(Slot));
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (!memory.is_open() || ftruncate(memory.get(), size) != 0 ||
      fcntl(memory.get(), F_ADD_SEALS, kSeals) != 0) {
    return Failed("make");
  }
  return Map(std::move(memory));
}

absl::StatusOr<std::unique_ptr<SiblingPage>> SiblingPage::Map(Descriptor memory) {
  struct stat found = {};
  if (fstat(memory.get(), &found) != 0) {
    return FieldError("page",
                      absl::StrCat("is ", memory.get(), ": ", std::strerror(errno)));
  }
  const auto size = static_cast<size_t>(found.st_size);
  if (size == 0 || size % sizeof(Slot) != 0 || size / sizeof(Slot) > kMostSlots) {
    return FieldError("page", absl::StrCat("has ", size, " bytes, must have ",
                                           sizeof(Slot), " for each slot"));
  }
  void* const address =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (address == MAP_FAILED) return Failed("map");
  return std::unique_ptr<SiblingPage>(
      new SiblingPage(std::move(memory), static_cast<Slot*>(address),
                      static_cast<int>(size / sizeof(Slot))));
}

SiblingPage::~SiblingPage() { munmap(slots_, num_slots_ * sizeof(Slot)); }

int64_t SiblingPage::Count(int slot) const { return CountOf(slots_[slot].word.load()); }

uint32_t SiblingPage::Open(int slot) {
  // Only the owner does it, but somebody may just be counting for the former one.
  uint64_t word = slots_[slot].word.load();
  uint32_t generation = 0;
  do {
    generation = std::max(GenerationOf(word) + 1, uint32_t{1});
  } while (!slots_[slot].word.compare_exchange_weak(
      word, (uint64_t{generation} << kGenerationShift) | 1));
  return generation;
}

void SiblingPage::Close(int slot) { slots_[slot].word.fetch_and(~kCountMask); }

void SiblingPage::Add(int slot, uint32_t generation) { Change(slot, generation, 1); }

void SiblingPage::Remove(int slot, uint32_t generation) {
  Change(slot, generation, -1);
}

void SiblingPage::Change(int slot, uint32_t generation, int change) {
  uint64_t word = slots_[slot].word.load();
  do {
    const int64_t count = CountOf(word);
    if (GenerationOf(word) != generation || count == kClosed) return;
    if (count + change < 0) return;
  } while (!slots_[slot].word.compare_exchange_weak(word, word + change));
}

std::optional<SiblingPage::Claimed> SiblingPage::Claim(int64_t below) {
  for (int i = 0; i < kMostTries; ++i) {
    const int slot = Fewest(below);
    if (slot < 0) return std::nullopt;
    uint64_t word = slots_[slot].word.load();
    const int64_t count = CountOf(word);
    if (count == kClosed || count >= below) continue;
    if (slots_[slot].word.compare_exchange_strong(word, word + 1)) {
      return Claimed{slot, GenerationOf(word)};
    }
  }
  return std::nullopt;
}

// -1 when no open slot has fewer.
int SiblingPage::Fewest(int64_t below) const {
  int fewest = -1;
  for (int slot = 0; slot < num_slots_; ++slot) {
    const int64_t count = Count(slot);
    if (count == kClosed || count >= below) continue;
    below = count;
    fewest = slot;
  }
  return fewest;
}

}  // namespace stepwell::front
