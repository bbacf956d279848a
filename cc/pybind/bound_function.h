// Functions of the request path, called without pybind11's dispatch.
//
// That looks for an overload and converts each argument by tables: some microseconds
// where a request runs it once, between longer stages that leave no cache warm.
#ifndef STEPWELL_CC_PYBIND_BOUND_FUNCTION_H_
#define STEPWELL_CC_PYBIND_BOUND_FUNCTION_H_

#include <cstdint>
#include <exception>

#include "pybind11/pybind11.h"

namespace stepwell::python {

// The positional arguments of one call.
struct Arguments {
  PyObject* const* values;
  Py_ssize_t count;

  // TypeError unless there are so many.
  void CheckCount(Py_ssize_t expected) const {
    if (count == expected) return;
    PyErr_Format(PyExc_TypeError, "takes %zd arguments, not %zd", expected, count);
    throw pybind11::error_already_set();
  }

  pybind11::handle operator[](Py_ssize_t at) const { return values[at]; }

  // OverflowError or TypeError for what is no integer of 64 bits.
  int64_t Integer(Py_ssize_t at) const {
    const int64_t number = PyLong_AsLongLong(values[at]);
    if (number == -1 && PyErr_Occurred() != nullptr)
      throw pybind11::error_already_set();
    return number;
  }

  // TypeError for what is no list.
  pybind11::list List(Py_ssize_t at) const {
    if (!PyList_Check(values[at])) throw pybind11::type_error("is no list");
    return pybind11::reinterpret_borrow<pybind11::list>(values[at]);
  }
};

namespace internal {

template <auto Method>
struct Caller;

template <typename T, pybind11::object (T::*Method)(const Arguments&)>
struct Caller<Method> {
  static PyObject* Call(PyObject* capsule, PyObject* const* values,
                        Py_ssize_t count) noexcept {
    try {
      auto* const self = static_cast<T*>(PyCapsule_GetPointer(capsule, nullptr));
      return (self->*Method)({values, count}).release().ptr();
    } catch (pybind11::error_already_set& error) {
      error.restore();
    } catch (const pybind11::builtin_exception& error) {
      error.set_error();
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
  }

  static pybind11::object Bound(const pybind11::object& self) {
    static PyMethodDef definition{
        "bound", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&Call)),
        METH_FASTCALL, nullptr};
    const auto drop = [](PyObject* capsule) {
      Py_XDECREF(static_cast<PyObject*>(PyCapsule_GetContext(capsule)));
    };
    auto capsule = pybind11::reinterpret_steal<pybind11::object>(
        PyCapsule_New(&self.cast<T&>(), nullptr, drop));
    if (!capsule) throw pybind11::error_already_set();
    // What is called lives as long as what calls it.
    PyCapsule_SetContext(capsule.ptr(), pybind11::object(self).release().ptr());
    auto bound = pybind11::reinterpret_steal<pybind11::object>(
        PyCFunction_New(&definition, capsule.ptr()));
    if (!bound) throw pybind11::error_already_set();
    return bound;
  }
};

}  // namespace internal

// Of an object of Python that holds a T: its method as a function to be kept and
// called.
template <auto Method>
pybind11::object BoundFunction(const pybind11::object& self) {
  return internal::Caller<Method>::Bound(self);
}

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_BOUND_FUNCTION_H_
