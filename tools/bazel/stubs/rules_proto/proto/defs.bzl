"""The proto rules, which only Bazel's own tools ask for."""

proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
