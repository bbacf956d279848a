// Included by small_ranker_cpu.cc once per instruction set.

// One candidate through one layer. `from` and `to` have room for whole registers.
inline void ApplyLayer(const SmallRanker::Layer& layer, const float* from, float* to) {
  const int64_t width = layer.num_outputs;
  for (int64_t first = 0; first < width; first += Vec::kLanes) {
    const int64_t rest = width - first;
    const bool is_whole = rest >= Vec::kLanes;
    const auto part = [&](const float* p) {
      return is_whole ? Vec::Load(p) : Vec::LoadFirst(p, rest);
    };
    // Two sums, so that a step need not wait for the one before.
    Vec even = part(layer.bias + first), odd = Vec::Zero();
    const float* weight = layer.weight + first;
    int64_t k = 0;
    for (; k + 2 <= layer.num_inputs; k += 2, weight += 2 * width) {
      even = Vec::MulAdd(Vec::Fill(from[k]), part(weight), even);
      odd = Vec::MulAdd(Vec::Fill(from[k + 1]), part(weight + width), odd);
    }
    if (k < layer.num_inputs) {
      even = Vec::MulAdd(Vec::Fill(from[k]), part(weight), even);
    }
    Vec::Add(even, odd).Store(to + first);
  }
}

inline void RunLayers(const SmallRanker& ranker, float* from, float* to,
                      float* logits) {
  for (const SmallRanker::Layer& layer : ranker.layers) {
    ApplyLayer(layer, from, to);
    if (&layer == &ranker.layers.back()) break;
    for (int64_t i = 0; i < layer.num_outputs; ++i) {
      if (to[i] < 0.0f) to[i] = 0.0f;
    }
    float* const next = from;
    from = to;
    to = next;
  }
  __builtin_memcpy(logits, to,
                   static_cast<size_t>(ranker.num_outputs()) * sizeof(float));
}
