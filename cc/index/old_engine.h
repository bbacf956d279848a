// hnswlib's class as OldGraph uses it. Only hnsw_*.cc include this.
#ifndef STEPWELL_CC_INDEX_OLD_ENGINE_H_
#define STEPWELL_CC_INDEX_OLD_ENGINE_H_

#include <cstddef>

#include "cc/index/distance.h"
#include "cc/index/old_graph.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wtype-limits"
#include "hnswlib/hnswlib.h"
#pragma GCC diagnostic pop

namespace stepwell::index {

// hnswlib picks its distance at compile time; ours is picked at run time.
class KernelSpace : public hnswlib::SpaceInterface<float> {
 public:
  KernelSpace(const DistanceKernel& kernel, size_t dim) : kernel_(kernel), dim_(dim) {}

  size_t get_data_size() override { return dim_ * sizeof(float); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return kernel_.pair; }
  void* get_dist_func_param() override { return &dim_; }

 private:
  const DistanceKernel& kernel_;
  size_t dim_;
};

// Base first: hnswlib keeps a pointer into the space.
class OldGraph::Engine : private KernelSpace, public hnswlib::HierarchicalNSW<float> {
 public:
  Engine(const OldGraphOptions& options, const DistanceKernel& kernel, size_t capacity)
      : KernelSpace(kernel, options.dim),
        hnswlib::HierarchicalNSW<float>(static_cast<KernelSpace*>(this), capacity,
                                        options.m, options.ef_construction) {}
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_OLD_ENGINE_H_
