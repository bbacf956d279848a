// Selection against `KeyVec`, included once per instruction set by topk_cpu.cc: no
// include guard and no include on purpose (see simd/vec.h).

// Appends keys of the scores from `at` on that are above `floor`, until the scores or
// the room end; returns the first position that it did not look at.
inline int64_t AppendAbove(const float* scores, int64_t at, int64_t num_scores,
                           int64_t floor, KeyBuffer& buffer, int64_t& count) {
  // Nothing is below a floor of sunk scores, and the float comparison would skip them.
  const bool any_score = OrderedScoreOf(floor) == kSunkScore;
  const float least = any_score ? 0.0f : ScoreOf(floor);
  const KeyVec floors = KeyVec::Fill(floor);
  int64_t* keys = buffer.keys;
  const int64_t last_count = buffer.capacity - KeyVec::kBlock;
  int64_t kept = count;
  for (; at + KeyVec::kBlock <= num_scores && kept <= last_count;
       at += KeyVec::kBlock) {
    if (!any_score && !KeyVec::AnyAtLeast(scores + at, least)) continue;
    for (int64_t i = at; i < at + KeyVec::kBlock; i += KeyVec::kLanes) {
      kept += KeyVec::FromScores(scores + i, i).StoreGreater(floors, keys + kept);
    }
  }
  if (at + KeyVec::kBlock > num_scores) {
    for (; at < num_scores && kept < buffer.capacity; ++at) {
      keys[kept] = KeyOf(scores[at], at);
      kept += keys[kept] > floor;
    }
  }
  count = kept;
  return at;
}

// Brings the keys above `pivot` to the front and returns how many they are.
inline int64_t Partition(int64_t* keys, int64_t num_keys, int64_t pivot,
                         int64_t* scratch) {
  const KeyVec pivots = KeyVec::Fill(pivot);
  int64_t above = 0;
  int64_t rest = 0;
  int64_t i = 0;
  for (; i + KeyVec::kLanes <= num_keys; i += KeyVec::kLanes) {
    const KeyVec some = KeyVec::Load(keys + i);
    above += some.StoreGreater(pivots, keys + above);
    rest += some.StoreRest(pivots, scratch + rest);
  }
  for (; i < num_keys; ++i) {
    const int64_t key = keys[i];
    keys[above] = key;
    scratch[rest] = key;
    above += key > pivot;
    rest += key <= pivot;
  }
  std::memcpy(keys + above, scratch, static_cast<size_t>(rest) * sizeof(int64_t));
  return above;
}

// Sorts up to kRankSortMax keys, largest first: a key's place is the number of larger
// ones. Reads, and does not use, up to a register past the last key.
inline void RankSort(int64_t* keys, int64_t num_keys, int64_t* scratch) {
  int64_t places[kRankSortMax + KeyVec::kLanes];
  for (int64_t i = 0; i < num_keys; i += KeyVec::kLanes) {
    const KeyVec some = KeyVec::Load(keys + i);
    KeyVec place = KeyVec::Zero();
    for (int64_t j = 0; j < num_keys; ++j) {
      place = KeyVec::AddGreater(KeyVec::Fill(keys[j]), some, place);
    }
    place.Store(places + i);
  }
  for (int64_t i = 0; i < num_keys; ++i) scratch[places[i]] = keys[i];
  std::memcpy(keys, scratch, static_cast<size_t>(num_keys) * sizeof(int64_t));
}

// A key a little below the k-th best of more than kRankSortMax, going by a sample;
// never the best one, so that every partition parts something.
inline int64_t PivotFor(const int64_t* keys, int64_t num_keys, int64_t k,
                        int64_t* scratch) {
  int64_t samples[kNumSamples + kPadding];
  const int64_t step = num_keys / kNumSamples;
  for (int64_t i = 0; i < kNumSamples; ++i) samples[i] = keys[i * step + step / 2];
  RankSort(samples, kNumSamples, scratch);
  if (2 * k >= num_keys) return samples[kNumSamples / 2];
  return samples[kNumSamples * k / num_keys + 1];
}

// Brings the k best of the keys to the front, the k-th to its place; in order when
// `sorted`. `depth` bounds the partitions that a key goes through.
inline void SelectTop(int64_t* keys, int64_t num_keys, int64_t k, bool sorted,
                      int64_t* scratch, int depth) {
  while (num_keys > kRankSortMax) {
    if (depth-- == 0) return SortTopByHeap(keys, num_keys, k);
    const int64_t pivot = PivotFor(keys, num_keys, k, scratch);
    const int64_t above = Partition(keys, num_keys, pivot, scratch);
    if (above >= k) {
      num_keys = above;
      continue;
    }
    if (sorted) SelectTop(keys, above, above, true, scratch, depth);
    keys += above;
    num_keys -= above;
    k -= above;
  }
  RankSort(keys, num_keys, scratch);
}

// Leaves the keys of the k best scores in buffer.keys, in order. The buffer fills with
// what beats the k-th best so far and is cut down to k whenever it is full.
inline void TopKeys(const float* scores, const int64_t* ids, int64_t num_scores,
                    int64_t k, KeyBuffer& buffer, int depth) {
  int64_t floor = INT64_MIN;
  int64_t count = 0;
  int64_t at = 0;
  while (true) {
    at = AppendAbove(scores, at, num_scores, floor, buffer, count);
    const bool last = at == num_scores;
    SelectTop(buffer.keys, count, k, last, buffer.scratch, depth);
    ResolveEdge(buffer.keys, count, k, ids);
    if (last) break;
    count = k;
    // Ties of the k-th stay above the floor: their ids decide.
    floor = buffer.keys[k - 1] & ~kLowBits;
  }
  OrderTies(buffer.keys, k, ids);
}
