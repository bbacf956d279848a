"""S3: a canary that is worse than live is taken down by itself, whatever is wrong."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from bad_canary import DUD_ROW
from faults.load import long_or_short
from faults.server_page import metric_value
from integration.small_project import SmallProject
from server_process import ServerProcess, server_process
from stepwell.base.metric_names import CANARY_ROLLBACKS, CANARY_SERIAL
from stepwell.experiments.guardrails import FALSE_ALARMS
from stepwell.releases.manifest import MANIFEST_NAME, parse_manifest
from stepwell.releases.publisher import Publisher
from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey
from stepwell.releases.vetoes import Vetoes
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file.
    import bad_canary_main  # noqa: F401

PROGRAM = "../../loadtest/bad_canary_main"
SHARE_PPM = int(long_or_short(50_000, 150_000))
PATIENCE_S = long_or_short(300, 60)
NUM_USERS = 20_000
CLICK_SHARE = 0.5
"""Of the items shown that anybody clicks on; the dud is none of them."""

_CALLERS = 4
_BATCH = 20
CRASHES = long_or_short(0.01, 0.1)
DUDS = int(long_or_short(1, 4))
"""Of ten items: a tenth fewer responses, in the short form four tenths."""


@dataclass
class _Site:
    """A server with a canary on trial, and its users."""

    server: ServerProcess
    registry: Path
    dud: str
    asked: int = 0
    last: set[str] = field(default_factory=set)
    seconds: float = 0.0

    def rollbacks(self, reason: str) -> float:
        return metric_value(self.server.metrics_port, CANARY_ROLLBACKS, reason=reason)

    def canary_serial(self) -> float:
        return metric_value(self.server.metrics_port, CANARY_SERIAL)

    def use(self, number: int) -> None:
        """So many requests and what users do with the answers; none may fail."""
        with ThreadPoolExecutor(_CALLERS) as callers:
            first = self.asked
            self.asked += number
            parts = range(first, first + number, _BATCH)
            self.last = set().union(*callers.map(self._use_some, parts))

    def use_until(self, is_done: Callable[[], bool]) -> None:
        """Uses it until something is true, for no longer than that may take."""
        began = time.monotonic()
        while not is_done():
            self.seconds = time.monotonic() - began
            assert self.seconds < PATIENCE_S
            self.use(_CALLERS * _BATCH)

    def _use_some(self, first: int) -> list[str]:
        rng = np.random.default_rng(first)
        events, shown = [], []
        with grpc.insecure_channel(self.server.address) as channel:
            recommend = channel.unary_unary(
                "/stepwell_pb.v1.RecommendService/Recommend",
                recommend_pb2.RecommendRequest.SerializeToString,
                recommend_pb2.RecommendResponse.FromString,
            )
            for number in range(first, first + _BATCH):
                request = recommend_pb2.RecommendRequest(
                    user_id=f"visitor-{rng.integers(NUM_USERS)}",
                    num_items=10,
                    request_id=f"r{number}",
                )
                answer = recommend(request, timeout=20)
                shown.append(answer.served_by.release_id)
                events += [
                    feedback_pb2.Event(
                        event_id=f"r{number}-{item.item_id}",
                        user_id=request.user_id,
                        item_id=item.item_id,
                        event_type=common_pb2.EVENT_TYPE_CLICK,
                        request_id=request.request_id,
                    )
                    for item in answer.items
                    if item.item_id != self.dud and rng.random() < CLICK_SHARE
                ]
            log = channel.unary_unary(
                "/stepwell_pb.v1.FeedbackService/LogEvents",
                feedback_pb2.LogEventsRequest.SerializeToString,
                feedback_pb2.LogEventsResponse.FromString,
            )
            log(feedback_pb2.LogEventsRequest(events=events), timeout=20)
        return shown


@contextmanager
def _site(project: SmallProject, folder: Path, fault: str) -> Iterator[_Site]:
    """The project's release, and beside it the same again with a fault, on trial."""
    registry, artifacts = folder / "registry", folder / "artifacts"
    shutil.copytree(project.state.registry, registry)
    shutil.copytree(registry / "v000001", artifacts)
    manifest = parse_manifest((artifacts / MANIFEST_NAME).read_bytes())
    (artifacts / MANIFEST_NAME).unlink()
    key = SigningKey.load_or_create(project.state.signing_key)
    Publisher(registry, key).publish(artifacts, manifest.metadata, promote=False)
    names = Vocabulary.load(artifacts / VOCABULARY_FILE)
    flags = project.logging_flags(folder)
    more = [f"--registry={registry}", "--poll_seconds=1", f"--canary_fault={fault}"]
    with server_process(PROGRAM, [*flags, *more]) as server:
        Rollout(registry, key).canary(2, SHARE_PPM)
        site = _Site(server, registry, names.id_of_row(DUD_ROW))
        site.use_until(lambda: site.canary_serial() == 2)
        yield site


@pytest.fixture(params=["slow:2", "nan", f"crash:{CRASHES}", f"duds:{DUDS}"])
def fault(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


REASONS = {
    "slow": {"slow_p50", "slow_p95", "slow_p99", "late"},
    "nan": {"non_finite"},
    "crash": {"errors"},
    "duds": {"responses", "calibration"},
}


def test_s3_a_bad_canary_is_taken_down_and_fails_no_request(
    project: SmallProject, tmp_path: Path, fault: str
) -> None:
    with _site(project, tmp_path, fault) as site:
        site.use_until(lambda: site.canary_serial() == 0)
        reasons = {r for r in FALSE_ALARMS if site.rollbacks(r)}
        assert len(reasons) == 1
        assert reasons <= REASONS[fault.partition(":")[0]]
        # Other servers of the registry are told why.
        veto = Vetoes(site.registry).read()[2]
        assert veto.reason in reasons
        assert veto.evidence
        site.use(4 * _BATCH)
        assert site.last == {"v000001"}
