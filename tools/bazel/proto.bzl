"""Python code from .proto files, by the grpcio-tools of the venv."""

_ROOT = "proto"

def stepwell_py_proto_library(name, srcs):
    """Messages, type stubs and gRPC stubs of every file; nothing is committed.

    Args:
      name: of the py_library; its import root is proto/, so that code says
        `from stepwell_pb.v1 import NAME_pb2, NAME_pb2_grpc`.
      srcs: the .proto files of one package below proto/.
    """
    package = native.package_name()
    depth = len(package[len(_ROOT) + 1:].split("/"))
    stems = [src[:-len(".proto")] for src in srcs]
    modules = [stem + "_pb2.py" for stem in stems] + [stem + "_pb2_grpc.py" for stem in stems]
    stubs = [stem + "_pb2.pyi" for stem in stems]
    native.genrule(
        name = name + "_generated",
        srcs = srcs,
        outs = modules + stubs,
        cmd = " ".join([
            "$(location @stepwell_python//:python) -m grpc_tools.protoc",
            "-I " + _ROOT,
            "--python_out=$(BINDIR)/" + _ROOT,
            "--pyi_out=$(BINDIR)/" + _ROOT,
            "--grpc_python_out=$(BINDIR)/" + _ROOT,
            "$(SRCS)",
        ]),
        message = "protoc",
        tools = ["@stepwell_python//:python"],
    )
    native.py_library(
        name = name,
        srcs = modules,
        srcs_version = "PY3",
        data = stubs,
        imports = ["/".join([".."] * depth)],
        visibility = ["//visibility:public"],
    )
