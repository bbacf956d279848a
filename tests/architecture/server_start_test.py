"""What a server pays for at its start: two seconds of torch are not among it."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The build takes dependencies from imports; it is imported by another process here.
    import worker_assembly  # noqa: F401


def test_a_server_starts_without_torch() -> None:
    # None in sys.modules: whoever imports it fails.
    script = "import sys; sys.modules['torch'] = None; import worker_assembly"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
