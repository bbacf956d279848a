"""CUDA sources as C++, for the emulator of cc/kernels/cuda_emulator."""

def _impl(ctx):
    sources = []
    for file in ctx.files.srcs:
        name = file.short_path.replace("/", "_").replace(".cu", "_cu.cc")
        source = ctx.actions.declare_file("{}/{}".format(ctx.label.name, name))
        ctx.actions.symlink(output = source, target_file = file)
        sources.append(source)
    return [DefaultInfo(files = depset(sources))]

# The .cu files under names that a C++ compiler takes for its own. They include by paths
# from the root, so it does not matter where they lie.
emulated_cuda_sources = rule(
    implementation = _impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu"], mandatory = True),
    },
)
