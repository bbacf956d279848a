"""Loading of the native operators."""

from pathlib import Path

import pytest
import torch

from stepwell.ops import library


def test_loading_again_gives_the_same_library() -> None:
    assert library.load() == library.load()
    assert hasattr(torch.ops.stepwell, "dot_interaction")


def test_another_library_is_refused_once_one_is_loaded() -> None:
    library.load()
    with pytest.raises(RuntimeError, match="is loaded already"):
        library.load(Path("/nowhere/libother.so"))
