"""`serve` without a release, and its defaults."""

import argparse
from pathlib import Path

import pytest

from commands import serve
from stepwell.base.errors import NotFoundError


def _parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(argv)


def test_without_a_release_it_names_the_command_that_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    with pytest.raises(NotFoundError, match=r"\./stepwell demo --data generated"):
        serve.run(_parsed("--data", "generated"))


def test_listens_on_its_own_port_unless_told_otherwise() -> None:
    assert _parsed().port == serve.DEFAULT_PORT
    assert _parsed("--port", "0").port == 0


def test_refuses_a_data_set_it_does_not_know() -> None:
    with pytest.raises(SystemExit):
        _parsed("--data", "unheard-of")
