"""What packing a release's ranker takes of a process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.dlrm import Dlrm
from stepwell.models.fused_dlrm import FusedDlrm
from stepwell.models.packed_mlp import usable_precision
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import RankerConfig
from stepwell.models.ranker_config_fixture import MODEL
from stepwell.models.ranker_file import FULL_RANKER_NAME, load_weights, save_weights
from stepwell.ranking.pack_ranker import pack_ranker

ITEMS = {"department": np.array([1, 0, 3], np.int32)}
LIMIT = 1 << 20
SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from stepwell.ranking.pack_ranker import pack_ranker
items = {"department": np.array([1, 0, 3], np.int32)}
packed, why = pack_ranker(Path(sys.argv[1]), "bfloat16", items, 1 << 20)
assert packed is not None, why
assert "torch" not in sys.modules
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    RankerConfig((), (), "0" * 64, MODEL, MODEL).save(tmp_path)
    save_weights(Dlrm(MODEL), tmp_path / FULL_RANKER_NAME)
    return tmp_path


needs_processor = pytest.mark.skipif(
    bool(usable_precision("int8")[1]), reason="no processor of the fused form"
)


@needs_processor
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_packs_what_is_frozen_of_the_model(release: Path, precision: Precision) -> None:
    model = Dlrm(MODEL)
    load_weights(model, release / FULL_RANKER_NAME)
    items = {name: torch.from_numpy(rows).long() for name, rows in ITEMS.items()}
    frozen = FusedDlrm.freeze(model, precision, items).packed()
    packed, why = pack_ranker(release, precision, ITEMS, LIMIT)
    assert packed is not None, why
    for part in ("weights", "plan", "items"):
        found, wanted = getattr(packed, part), getattr(frozen, part)
        np.testing.assert_array_equal(found, wanted)


@needs_processor
def test_packing_imports_no_torch(release: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(release)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_the_processor_leaves_no_choice_of_has_no_reason(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell.models.precision.processor_flags", frozenset)
    assert pack_ranker(release, "bfloat16", ITEMS, LIMIT) == (None, "")
    assert pack_ranker(release, "float32", ITEMS, LIMIT) == (None, "")


def test_a_precision_that_is_none_is_refused(release: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="precision is 'float8'"):
        pack_ranker(release, "float8", ITEMS, LIMIT)  # type: ignore[arg-type]
