"""A C++ library of the operating system, behind one Bazel target.

The headers are in the compiler's own search path, so only the flags of pkg-config
have to be wrapped: absl alone has more than thirty of them, in an order that matters.
"""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "{target}",
    defines = {defines},
    linkopts = {linkopts},
    testonly = {testonly},
)
"""

def _impl(repository_ctx):
    packages = repository_ctx.attr.pkg_config
    result = repository_ctx.execute(["pkg-config", "--cflags", "--libs"] + packages)
    if result.return_code != 0:
        fail("{}: pkg-config knows not all of {}: apt-get install {} pkg-config\n{}".format(
            repository_ctx.name,
            packages,
            repository_ctx.attr.debian_package,
            result.stderr,
        ))
    flags = [flag for flag in result.stdout.replace("\n", " ").split(" ") if flag]
    repository_ctx.file("BUILD.bazel", _BUILD.format(
        target = repository_ctx.attr.target,
        defines = [flag[2:] for flag in flags if flag.startswith("-D")],
        linkopts = repository_ctx.attr.linked_before +
                   [flag for flag in flags if flag.startswith("-l") or flag.startswith("-Wl,")] +
                   ["-lpthread"],
        testonly = repository_ctx.attr.for_tests,
    ))

system_library_repository = repository_rule(
    implementation = _impl,
    attrs = {
        "debian_package": attr.string(mandatory = True),
        "pkg_config": attr.string_list(mandatory = True),
        "target": attr.string(mandatory = True),
        "for_tests": attr.bool(default = False),
        # Archives that pkg-config does not name, ahead of the libraries they need.
        "linked_before": attr.string_list(),
    },
    local = True,
)
