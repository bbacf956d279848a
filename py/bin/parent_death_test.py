"""A child that asked for it gets SIGTERM when its parent is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from parent_death import end_with_parent
from stepwell.base.errors import UnavailableError

_CHILD = """
import os, signal, sys
from parent_death import end_with_parent
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"told\\n"), os._exit(0)))
end_with_parent(int(sys.argv[1]))
os.write(1, b"%d\\n" % os.getpid())
signal.pause()
"""
_PARENT = """
import os, signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
signal.pause()
"""


def test_a_child_is_told_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, _CHILD],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    with parent.stdout as said:
        assert int(said.readline()) != parent.pid
        parent.send_signal(signal.SIGKILL)
        parent.wait(timeout=30)
        # The child has the other end of the pipe: its end is the end of the file.
        assert said.read() == b"told\n"


def test_a_parent_that_is_gone_already_is_an_error() -> None:
    with pytest.raises(UnavailableError, match="is gone"):
        end_with_parent(1 << 22)


def test_a_child_that_asks_for_nothing_lives_on() -> None:
    end_with_parent(0)
