// The Python face of cc/online_store.
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/online_store/lmdb_store.h"
#include "cc/online_store/redis_hop.h"
#include "cc/pybind/bound_function.h"
#include "cc/pybind/bytes_of.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/pybind11.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using online_store::Blob;
using online_store::Guard;
using online_store::LmdbStore;
using online_store::RedisHop;
using online_store::RedisReply;

// As stepwell.stores.key_value_store has them.
constexpr int64_t kMaxViewBytes = 64;
constexpr int64_t kMaxKeyBytes = 256;

absl::string_view TextOf(const py::handle& object) {
  py::ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(object.ptr(), &size);
  if (text == nullptr) throw py::error_already_set();
  return {text, static_cast<size_t>(size)};
}

// `prefix`, view, a zero byte, key: `entry_key` of the same module.
std::string EntryKey(absl::string_view prefix, const py::handle& row) {
  const auto pair = py::reinterpret_borrow<py::tuple>(row);
  if (!py::isinstance<py::tuple>(row) || pair.size() != 2) {
    throw py::type_error("a row is no pair of view and key");
  }
  const absl::string_view view = TextOf(pair[0]);
  const absl::string_view key = TextOf(pair[1]);
  ThrowUnlessOk(CheckRange("key", static_cast<int64_t>(key.size()), 1, kMaxKeyBytes));
  ThrowUnlessOk(
      CheckRange("view", static_cast<int64_t>(view.size()), 1, kMaxViewBytes));
  if (view.find('\0') != absl::string_view::npos) {
    ThrowStatus(FieldError("view", "has a zero byte"));
  }
  return absl::StrCat(prefix, view, absl::string_view("\0", 1), key);
}

py::list EntryKeys(const py::bytes& prefix, const py::sequence& rows) {
  py::list keys;
  for (const py::handle row : rows)
    keys.append(py::bytes(EntryKey(BytesOf(prefix), row)));
  return keys;
}

py::list ToPython(const std::vector<Blob>& blobs) {
  py::list list(blobs.size());
  for (size_t i = 0; i < blobs.size(); ++i) {
    list[i] = blobs[i] ? py::object(py::bytes(*blobs[i])) : py::object(py::none());
  }
  return list;
}

// Gives up the GIL for what may take long. A read of a request that finds its pages in
// memory takes a few microseconds, and to get the GIL back from another thread costs
// more; but while rows come from the disk, others may go on.
class SharedStore {
 public:
  SharedStore(const std::string& path, int64_t map_size_bytes)
      : store_(WithoutGil([&] { return LmdbStore::Open(path, map_size_bytes); })) {}

  // rows, a sequence of pairs of view and key
  py::object GetRows(const Arguments& arguments) {
    arguments.CheckCount(1);
    const auto rows = py::reinterpret_steal<py::object>(
        PySequence_Fast(arguments[0].ptr(), "rows are no sequence"));
    if (!rows) throw py::error_already_set();
    const py::ssize_t num_rows = PySequence_Fast_GET_SIZE(rows.ptr());
    std::vector<std::string> keys;
    keys.reserve(static_cast<size_t>(num_rows));
    for (py::ssize_t i = 0; i < num_rows; ++i) {
      keys.push_back(EntryKey("", PySequence_Fast_GET_ITEM(rows.ptr(), i)));
    }
    const std::shared_ptr<LmdbStore> store = Opened();
    if (keys.size() > kMaxHeldRows || num_patient_ > 0) {
      if (num_patient_ > 0) --num_patient_;
      return ToPython(WithoutGil([&] { return store->Get(keys); }));
    }
    const auto begun = std::chrono::steady_clock::now();
    auto blobs = store->Get(keys);
    if (std::chrono::steady_clock::now() - begun > kSlow) num_patient_ = kPatience;
    return ToPython(ValueOrThrow(std::move(blobs)));
  }

  bool Write(const std::optional<std::pair<py::bytes, std::optional<py::bytes>>>& guard,
             const std::vector<std::pair<py::bytes, py::bytes>>& entries) {
    std::optional<Guard> guarded;
    if (guard) {
      guarded.emplace(Guard{.key = guard->first, .expected = std::nullopt});
      if (guard->second) guarded->expected = std::string(*guard->second);
    }
    std::vector<std::pair<absl::string_view, absl::string_view>> views;
    views.reserve(entries.size());
    for (const auto& [key, blob] : entries)
      views.emplace_back(BytesOf(key), BytesOf(blob));
    const std::shared_ptr<LmdbStore> store = Opened();
    return WithoutGil([&] { return store->Write(guarded, views); });
  }

  // What is being read or written is finished first.
  void Close() { store_.reset(); }

 private:
  static constexpr size_t kMaxHeldRows = 64;
  static constexpr std::chrono::microseconds kSlow{200};
  static constexpr int kPatience = 100;

  std::shared_ptr<LmdbStore> Opened() const {
    if (store_ == nullptr) ThrowStatus(absl::UnavailableError("the store is closed"));
    return store_;
  }

  // Both under the GIL. Reads to come that give it up.
  int num_patient_ = 0;
  std::shared_ptr<LmdbStore> store_;
};

// Blobs, or the text of the server's error. TimeoutError, ConnectionError and
// ValueError for what the hop calls DeadlineExceeded, Unavailable and DataLoss: the
// client's own classes are Python's to choose.
py::object MGet(RedisHop& hop, const py::list& keys, bool asking, int64_t timeout_us) {
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::microseconds(timeout_us);
  std::vector<absl::string_view> views;
  views.reserve(keys.size());
  for (const py::handle key : keys) views.push_back(BytesOf(key));
  const absl::StatusOr<RedisReply> reply =
      ReturnedWithoutGil([&] { return hop.MGet(views, asking, end); });
  if (!reply.ok()) {
    PyObject* const kind = absl::IsDeadlineExceeded(reply.status()) ? PyExc_TimeoutError
                           : absl::IsUnavailable(reply.status()) ? PyExc_ConnectionError
                                                                 : PyExc_ValueError;
    py::set_error(kind, std::string(reply.status().message()).c_str());
    throw py::error_already_set();
  }
  if (reply->error) {
    // As the client reads it: what is no UTF-8 is shown, not refused.
    return py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
        reply->error->data(), static_cast<py::ssize_t>(reply->error->size()),
        "replace"));
  }
  return ToPython(reply->blobs);
}

}  // namespace

PYBIND11_MODULE(_online_store, module) {
  module.doc() = "The online store; see stepwell.stores for the typed face.";
  module.def("entry_keys", &EntryKeys);
  py::class_<RedisHop>(module, "RedisHop").def(py::init<int>()).def("mget", &MGet);
  py::class_<SharedStore>(module, "LmdbStore")
      .def(py::init<const std::string&, int64_t>())
      .def_property_readonly("get_rows", &BoundFunction<&SharedStore::GetRows>)
      .def("write", &SharedStore::Write)
      .def("close", &SharedStore::Close);
}

}  // namespace stepwell::python
