// Included by row_sums_cpu.cc once per instruction set.

// Sums the columns [first, first + 4 registers) of the rows; what does not fill a
// register is the caller's.
inline void PoolBlock(const RowsToPool& task, int64_t first) {
  Vec sums[4] = {Vec::Zero(), Vec::Zero(), Vec::Zero(), Vec::Zero()};
  for (int64_t i = 0; i < task.num_rows; ++i) {
    if (i + kRowsAhead < task.num_rows) task.Prefetch(i + kRowsAhead, first);
    if (task.rows[i] < 0) continue;
    const float* row = task.vectors + task.rows[i] * task.dim + first;
    const Vec weight = Vec::Fill(task.weights[i]);
    for (int part = 0; part < 4; ++part) {
      sums[part] = Vec::MulAdd(weight, Vec::Load(row + part * Vec::kLanes), sums[part]);
    }
  }
  for (int part = 0; part < 4; ++part) {
    sums[part].Store(task.pooled + first + part * Vec::kLanes);
  }
}

// Sums the columns from `first` on, a register at a time, the last one in part.
inline void PoolTail(const RowsToPool& task, int64_t first) {
  const int64_t width = task.dim - first;
  const int64_t num_whole = width / Vec::kLanes, rest = width % Vec::kLanes;
  Vec sums[4] = {Vec::Zero(), Vec::Zero(), Vec::Zero(), Vec::Zero()};
  for (int64_t i = 0; i < task.num_rows; ++i) {
    if (i + kRowsAhead < task.num_rows) task.Prefetch(i + kRowsAhead, first);
    if (task.rows[i] < 0) continue;
    const float* row = task.vectors + task.rows[i] * task.dim + first;
    const Vec weight = Vec::Fill(task.weights[i]);
    for (int64_t part = 0; part < num_whole; ++part) {
      sums[part] = Vec::MulAdd(weight, Vec::Load(row + part * Vec::kLanes), sums[part]);
    }
    if (rest == 0) continue;
    const Vec last = Vec::LoadFirst(row + num_whole * Vec::kLanes, rest);
    sums[num_whole] = Vec::MulAdd(weight, last, sums[num_whole]);
  }
  float stored[4 * Vec::kLanes];
  for (int part = 0; part < 4; ++part) sums[part].Store(stored + part * Vec::kLanes);
  for (int64_t column = 0; column < width; ++column) {
    task.pooled[first + column] = stored[column];
  }
}

inline void Pool(const RowsToPool& task) {
  constexpr int64_t kBlock = 4 * Vec::kLanes;
  int64_t first = 0;
  for (; first + kBlock <= task.dim; first += kBlock) PoolBlock(task, first);
  if (first < task.dim) PoolTail(task, first);
}

inline float InnerProduct(const float* a, const float* b, int64_t dim) {
  Vec even = Vec::Zero(), odd = Vec::Zero();
  int64_t at = 0;
  for (; at + 2 * Vec::kLanes <= dim; at += 2 * Vec::kLanes) {
    even = Vec::MulAdd(Vec::Load(a + at), Vec::Load(b + at), even);
    odd = Vec::MulAdd(Vec::Load(a + at + Vec::kLanes), Vec::Load(b + at + Vec::kLanes),
                      odd);
  }
  for (; at + Vec::kLanes <= dim; at += Vec::kLanes) {
    even = Vec::MulAdd(Vec::Load(a + at), Vec::Load(b + at), even);
  }
  if (at < dim) {
    odd = Vec::MulAdd(Vec::LoadFirst(a + at, dim - at),
                      Vec::LoadFirst(b + at, dim - at), odd);
  }
  return Vec::Add(even, odd).Sum();
}

inline void Products(const float* vectors, int64_t num_vectors, int64_t dim,
                     const float* vector, float* products) {
  for (int64_t row = 0; row < num_vectors; ++row) {
    products[row] = InnerProduct(vectors + row * dim, vector, dim);
  }
}

inline void ProductsOfRows(const RowsToPool& task, const float* vector,
                           float* products) {
  for (int64_t i = 0; i < task.num_rows; ++i) {
    if (i + kRowsAhead < task.num_rows) task.Prefetch(i + kRowsAhead, 0);
    products[i] =
        InnerProduct(task.vectors + task.rows[i] * task.dim, vector, task.dim);
  }
}
