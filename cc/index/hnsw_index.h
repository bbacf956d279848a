// Approximate search over a navigable graph that changes while it is searched.
#ifndef STEPWELL_CC_INDEX_HNSW_INDEX_H_
#define STEPWELL_CC_INDEX_HNSW_INDEX_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cc/index/ann_index.h"
#include "cc/index/hnsw_graph.h"
#include "cc/index/label_table.h"
#include "cc/index/reader_gate.h"
#include "cc/index/reclaimer.h"
#include "cc/index/scratch_pool.h"
#include "cc/index/vector_codec.h"
#include "cc/index/writer_lock.h"

namespace stepwell::index {

class HnswRepair;

struct HnswOptions {
  int64_t dim = 0;  // 1 .. kMaxDim
  Metric metric = Metric::kInnerProduct;
  // Links that an item chooses on each level, 2 .. 128; hnswlib's M, faiss's M: the
  // same default of 16. On level 0 others may link to it until it has twice as many.
  int64_t m = 16;
  // 1 .. kMaxEf; hnswlib's and faiss's name, hnswlib's default. Over int8 codes a
  // quarter more is walked.
  int64_t ef_construction = 200;
  uint64_t seed = 0;
  // Threads of Build and of a large Upsert, 1 .. 64. With one the graph is the same
  // each time.
  int num_threads = 1;
  SpaceHash space_hash{};
  // What the walk compares; see VectorCodec.
  CodeKind codes = CodeKind::kInt8;
  // Whether the best found are scored again by their float32 vectors. Without them
  // the scores are those of the codes, and the memory is that of the codes.
  bool keep_vectors = true;
  // Largest magnitude that an int8 coordinate covers, > 0, for the index's life; 0:
  // taken from the items, and again when the index grows.
  float int8_limit = 0;
  // Places reserved by Build, more than its items need: growth beyond them copies the
  // index once.
  int64_t capacity = 0;
  // Whether a thread of the index takes deleted nodes out by itself. False: only
  // Reclaim() does, and the graph is a function of the calls alone.
  bool background = true;
};

// What a file does not say; as in HnswOptions.
struct HnswOpenOptions {
  int num_threads = 1;
  bool background = true;
};

// Called from Build's thread with the number of items linked so far; false stops.
using BuildProgress = std::function<bool(int64_t done, int64_t total)>;

// An item lies in a node of the graph: its code, its vector, its id. Writing a known
// id takes another node, links it and then publishes it in place of the old one, so
// that no search sees half an item. Old and deleted nodes still lead the way, are never
// returned, and are taken out later; their places are used again.
//
// Concurrency: every method may be called from any thread. Searches wait for nobody.
// Upserts and Deletes run side by side with them and with each other; they wait for a
// growth (an Upsert that found no place copies the index) and for Save. An item that
// is replaced while a filtered or exact search runs may be missing from that one
// answer.
//
// Errors: as AnnIndex; Cancelled where a BuildProgress said stop.
//
// Inner product is no metric: on vectors of very different norms the graph reaches
// less recall at the same ef_search than cosine or L2 do. Source: Malkov & Yashunin,
// arXiv:1603.09320; see HnswGraph.
class HnswIndex : public AnnIndex {
 public:
  static absl::StatusOr<std::unique_ptr<HnswIndex>> Build(
      absl::Span<const float> vectors, absl::Span<const int64_t> ids,
      const HnswOptions& options, const BuildProgress& progress = nullptr);

  // Maps a file of Save, shared with other processes; the first write copies it into
  // memory. Errors as FlatIndex::Open. Every count and every link is checked as well,
  // so that a file made by an enemy can give wrong neighbours but touch no other
  // memory.
  static absl::StatusOr<std::unique_ptr<HnswIndex>> Open(
      const std::string& path, const SpaceHash* expected_space_hash = nullptr,
      const HnswOpenOptions& options = {});

  // Takes over a file that hnswlib 0.8 wrote, whole or damaged: nothing in it is used
  // unchecked. The file says M and ef_construction; dim, metric and the rest are those
  // of the options. Elements marked as deleted only lead the way. NotFound, DataLoss,
  // FailedPrecondition where dim or the lists are others than the file's.
  static absl::StatusOr<std::unique_ptr<HnswIndex>> ImportHnswlib(
      const std::string& path, const HnswOptions& options);

  ~HnswIndex() override;

  int64_t dim() const override { return options_.dim; }
  const HnswOptions& options() const { return options_; }
  absl::Status Upsert(absl::Span<const float> vectors,
                      absl::Span<const int64_t> ids) override;
  absl::StatusOr<DeleteResult> Delete(absl::Span<const int64_t> ids) override;
  absl::StatusOr<SearchResult> Search(absl::Span<const float> queries, int64_t k,
                                      const SearchOptions& options) const override;
  absl::Status Save(const std::string& path) const override;
  IndexStats Stats() const override;

  // Takes out all nodes that are dead when it begins, and leads to every item that no
  // path leads to. Waits until that is done. Copies a mapped index into memory first.
  // ResourceExhausted when memory is out: all is as good as before.
  absl::Status Reclaim();

  // The ids that a search can return, ascending.
  std::vector<int64_t> Ids() const;
  // Writes the vectors of the ids, float32 [ids.size(), dim], as compared: of unit norm
  // under cosine; decoded where only codes are kept. NotFound for an unknown id.
  absl::Status Vectors(absl::Span<const int64_t> ids, float* out) const;

 private:
  HnswIndex(const HnswOptions& options, std::unique_ptr<GraphStorage> storage);

  // An index over a storage whose content was checked: a file's, or an imported one.
  // Nodes without a label are free places. `nodes_by_label` are the other nodes by
  // ascending label; over a mapping it is kept in use, else it may be empty.
  static std::unique_ptr<HnswIndex> Adopt(const HnswOptions& options,
                                          std::unique_ptr<GraphStorage> storage,
                                          HnswGraph::Entry entry,
                                          absl::Span<const uint32_t> nodes_by_label);

  // Delete, but for what follows from it.
  absl::StatusOr<DeleteResult> Hide(absl::Span<const int64_t> ids);
  // Upsert in its steps; all but Grow under writers_ shared, which a large batch gives
  // up now and then.
  struct Batch {
    absl::Span<const float> vectors;
    absl::Span<const int64_t> ids;
    const std::vector<uint32_t>& nodes;
    const BuildProgress& progress;
  };
  absl::Status Put(absl::Span<const float> vectors, absl::Span<const int64_t> ids,
                   const BuildProgress& progress);
  // False when there is no room.
  bool TakeNodes(int64_t count, std::vector<uint32_t>& nodes);
  bool LinkNodes(const Batch& batch, int64_t first, int64_t end);
  void Publish(absl::Span<const int64_t> ids, const std::vector<uint32_t>& nodes);
  void Abandon(const std::vector<uint32_t>& nodes);
  // Memory of tables of ids that were outgrown. Waits for searches where there are any;
  // with none of the locks held.
  void FreeOutgrown();
  // Makes room for `count` more nodes, in memory that can be written. Takes writers_
  // alone.
  void Grow(int64_t count, absl::Span<const float> vectors);
  VectorCodec CodecFor(absl::Span<const float> vectors) const;

  // Of hnsw_reclaim.cc, with none of the locks held but reclaiming_ where it says
  // steps. They throw std::bad_alloc, after which they can begin again.
  void TidyUp(const std::atomic<bool>& stop);
  // Steps. Null: nobody stops it.
  bool TakeOutDead(const std::atomic<bool>* stop);
  std::vector<uint32_t> DoomDead(HnswRepair& repair);
  bool BypassDoomed(HnswRepair& repair, const std::atomic<bool>* stop);
  void FreeDoomed(const std::vector<uint32_t>& nodes);
  void ReconnectUnreached(const std::atomic<bool>* stop);
  // After items were written or deleted: has the thread tidy up, at once or later.
  void NoteWrites();
  // Before items are written: takes dead nodes out where the thread is far behind.
  void HelpToReclaim();
  bool DeadExceed(int64_t share, int64_t at_least) const;
  bool IsWritable() const;

  HnswOptions options_;
  mutable ReaderGate gate_;
  mutable ScratchPool scratches_;
  // Shared by writers; held alone to grow and to save. Before slots_mutex_.
  mutable WriterLock writers_;
  HnswGraph graph_;
  LabelTable labels_;
  // Of a file that labels_ may still be read from.
  std::shared_ptr<const void> mapping_;
  // Odd while items are published: a search that saw it change looks twice.
  std::atomic<uint64_t> num_writes_{0};

  // Of the lists below, of writers of labels_ and of appending nodes. Held briefly;
  // never waited for by who holds a Guard.
  mutable std::mutex slots_mutex_;
  std::vector<uint32_t> free_;  // the next items' places
  std::vector<uint32_t> dead_;  // hidden for good, still in the graph

  std::mutex reclaiming_;            // before writers_
  std::atomic<bool> helped_{false};  // a writer waits for reclaiming_
  // Last: its thread ends before what it works on.
  Reclaimer reclaimer_;
};

// Range checks of the options, shared by Build and Open.
absl::Status CheckHnswOptions(const HnswOptions& options);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_HNSW_INDEX_H_
