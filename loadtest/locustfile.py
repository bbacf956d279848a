"""A gRPC user for locust: journeys through a ranker, closed loop.

    python -m locust -f loadtest/locustfile.py --headless --users 8 --run-time 30s \\
        --host 127.0.0.1:7000 --run-file run.npz

Every simulated user waits for its answer before it asks again: under overload it asks
less. loadtest/generator.py does not; use that to find a limit.
"""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from random import Random
from typing import Any

import gevent  # type: ignore[import-untyped]
import grpc.experimental.gevent as grpc_gevent  # type: ignore[import-not-found]
from locust import User, events, task

from journal import Journal
from journeys import COME_BACK, STEPS, Visitor
from stepwell.base.errors import StepwellError
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer

grpc_gevent.init_gevent()

_JOURNAL = Journal()
_VISITORS: list[Visitor] = []
_STARTED, _STARTED_CPU = time.monotonic(), time.process_time()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--user-ids", default="", help="file with one user id a line")
    parser.add_argument("--run-file", default="", help="file for the calls, .npz")
    parser.add_argument("--notes-file", default="", help="file for what else, JSON")
    parser.add_argument("--think-ms", type=int, default=20, help="pause between calls")
    parser.add_argument("--away-ms", type=int, default=500, help="before a return")
    parser.add_argument("--deadline-ms", type=int, default=200, help="of every call")
    parser.add_argument("--seed", type=int, default=1, help="of all choices")


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _write_run(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    if options.run_file:
        cpu_s = time.process_time() - _STARTED_CPU
        run = _JOURNAL.run(cpu_s / (time.monotonic() - _STARTED))
        run.save(Path(options.run_file))
    if options.notes_file:
        notes = {
            "returns": sum(visitor.num_returns for visitor in _VISITORS),
            "felt": sum(visitor.num_felt for visitor in _VISITORS),
        }
        Path(options.notes_file).write_text(json.dumps(notes))


class Shopper(User):
    """One user of the shop: a random member of the list, who takes random steps."""

    number = 0

    def on_start(self) -> None:
        """Chooses who this is, and connects."""
        options = self.environment.parsed_options
        Shopper.number += 1
        self._random = Random(f"{options.seed}/{Shopper.number}")
        self._user_ids = _user_ids(options.user_ids)
        self._client = RecommendClient(
            str(self.host), ClientOptions(deadline_ms=options.deadline_ms)
        )

    def on_stop(self) -> None:
        """Disconnects."""
        self._client.close()

    def wait_time(self) -> float:
        """Seconds between two steps."""
        return float(self.environment.parsed_options.think_ms) / 1e3

    @task
    def visit(self) -> None:
        """One step, after a few of which another user takes over."""
        if self._random.random() < 0.2 or not hasattr(self, "_visitor"):
            user_id = self._random.choice(self._user_ids)
            self._visitor = Visitor(self._client, user_id, self._random)
            _VISITORS.append(self._visitor)
        names = list(STEPS)
        weights = [STEPS[name][1] for name in names]
        (name,) = self._random.choices(names, weights)
        if name == COME_BACK:
            gevent.sleep(self.environment.parsed_options.away_ms / 1e3)
        self._timed(name)

    def _timed(self, name: str) -> None:
        started = time.perf_counter()
        outcome: Answer | StepwellError | None
        try:
            outcome = STEPS[name][0](self._visitor)
        except StepwellError as error:
            outcome = error
        done = time.perf_counter()
        _JOURNAL.note(name, started, done, outcome)
        self.environment.events.request.fire(
            request_type="grpc",
            name=name,
            response_time=(done - started) * 1e3,
            response_length=0,
            exception=outcome if isinstance(outcome, StepwellError) else None,
        )


def _user_ids(path: str) -> list[str]:
    if not path:
        return [f"load-{number}" for number in range(1_000)]
    return Path(path).read_text().splitlines()  # an id may hold spaces
