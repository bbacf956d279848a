"""The headers of hnswlib, from its source package.

pip fetches the package once into the user's cache, its hash is checked on every use,
and a second build needs no network.
"""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "hnswlib",
    hdrs = glob(["source/hnswlib/*.h"]),
    includes = ["source"],
)
"""

def _impl(repository_ctx):
    version = repository_ctx.attr.version
    archive = "hnswlib-{}.tar.gz".format(version)
    home = repository_ctx.os.environ.get("HOME", "/tmp")
    cache = repository_ctx.path("{}/.cache/stepwell/sources".format(home))
    if not cache.get_child(archive).exists:
        _download(repository_ctx, version, cache)
    _check_hash(repository_ctx, cache.get_child(archive))
    repository_ctx.extract(
        str(cache.get_child(archive)),
        output = "source",
        stripPrefix = "hnswlib-{}".format(version),
    )
    repository_ctx.file("BUILD.bazel", _BUILD)

    # The package has a BUILD file of its own in some versions; ours is the only one.
    repository_ctx.delete("source/BUILD")
    repository_ctx.delete("source/BUILD.bazel")

def _download(repository_ctx, version, cache):
    root = repository_ctx.path(repository_ctx.attr.workspace).dirname
    result = repository_ctx.execute([
        str(root) + "/.venv/bin/python",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-binary=hnswlib",
        "--dest=" + str(cache),
        "hnswlib==" + version,
    ])
    if result.return_code != 0:
        fail("pip could not fetch hnswlib {}:\n{}".format(version, result.stderr))

def _check_hash(repository_ctx, archive):
    result = repository_ctx.execute(["sha256sum", str(archive)])
    found = result.stdout.split(" ")[0]
    if found != repository_ctx.attr.sha256:
        fail("{} has sha256 {} and should have {}: delete it and build again".format(
            archive,
            found or "(none)",
            repository_ctx.attr.sha256,
        ))

hnswlib_repository = repository_rule(
    implementation = _impl,
    attrs = {
        "sha256": attr.string(mandatory = True),
        "version": attr.string(mandatory = True),
        "workspace": attr.label(mandatory = True, allow_single_file = True),
    },
)
