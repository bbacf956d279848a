"""The experiments that run now, from a file that may change while we serve."""

from pathlib import Path

import structlog

from stepwell.base.errors import InvalidArgumentError
from stepwell.base.metric_names import EXPERIMENT_FILE_REFUSALS, EXPERIMENTS_RUNNING
from stepwell.base.metrics import Metrics
from stepwell.experiments.assigner import Assigner, Assignment
from stepwell.experiments.assignment import Layer
from stepwell.experiments.experiment_file import read_layers
from stepwell.pipeline.overrides import PlanOverrides

_log = structlog.get_logger(__name__)

_Stamp = tuple[int, int, int] | None


class LiveExperiments:
    """Deals users to the arms of a file, and follows the file.

    A file that is wrong in any part is refused whole: the experiments before it go on,
    and where there were none, none run. Serving never stops for it.

    Args:
        path: see experiments/experiment_file.py; read at once.
        metrics: experiments that run, files refused.

    Concurrency: `assign` from every worker; `refresh` from one thread.
    """

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._stamp: _Stamp = None
        self._assigner = _assigner(())
        self._metrics.set(EXPERIMENTS_RUNNING, 0)
        self._read(self._stamp_now())

    def assign(self, user_id: str) -> Assignment[PlanOverrides]:
        """Returns the user's arms and what they change. Cost: about 1 us a layer."""
        return self._assigner.assign(user_id)

    def refresh(self) -> None:
        """Reads the file again where it changed. Cost: one stat while it did not."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._read(stamp)

    def _stamp_now(self) -> _Stamp:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self, stamp: _Stamp) -> None:
        self._stamp = stamp
        try:
            layers = read_layers(self._path, PlanOverrides.of)
        except InvalidArgumentError as error:
            self._metrics.add(EXPERIMENT_FILE_REFUSALS)
            _log.warning("experiments refused, those before go on", error=str(error))
            return
        self._assigner = _assigner(layers)
        running = [one.name for layer in layers for one in layer.experiments]
        self._metrics.set(EXPERIMENTS_RUNNING, len(running))
        _log.info("experiments run", path=str(self._path), experiments=running)


def _assigner(layers: tuple[Layer, ...]) -> Assigner[PlanOverrides]:
    return Assigner(layers, PlanOverrides.of)
