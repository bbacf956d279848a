"""Where the built C++ libraries are: Bazel's runfiles first, then bazel-bin."""

from pathlib import Path

from stepwell.base.errors import NotFoundError

_WORKSPACE = "stepwell"


def native_library(relative_path: str) -> Path:
    """Returns the path of a built library, such as "cc/ops/libstepwell_ops.so".

    Looked for in Bazel's runfiles of the running binary, then under `bazel-bin` of the
    source checkout this file lies in.

    Raises:
        NotFoundError: names the file, the places tried and the command that builds it.
    """
    tried = []
    for candidate in (_in_runfiles(relative_path), _in_bazel_bin(relative_path)):
        if candidate is None:
            continue
        if candidate.exists():
            return candidate
        tried.append(str(candidate))
    target = "//" + ":".join(relative_path.rsplit("/", 1))
    raise NotFoundError(
        f"{relative_path} is not built (tried {tried}); run: bazel build {target}"
    )


def _in_runfiles(relative_path: str) -> Path | None:
    from runfiles import Runfiles

    runfiles = Runfiles.Create()
    location = runfiles and runfiles.Rlocation(f"{_WORKSPACE}/{relative_path}")
    return Path(location) if location else None


def _in_bazel_bin(relative_path: str) -> Path:
    source_root = Path(__file__).resolve().parents[3]
    return source_root / "bazel-bin" / relative_path
