"""Every module of a package behind one label."""

def stepwell_plugins(name):
    """A library of all modules in this package, for a program that picks one.

    The program imports them by name at run time, so no import tells Bazel of them.
    """
    files = native.glob(["*.py"], exclude = ["*_test.py", "__init__.py", "conftest.py"])
    native.py_library(
        name = name,
        visibility = ["//visibility:public"],
        deps = [":" + file[:-len(".py")] for file in files],
    )
