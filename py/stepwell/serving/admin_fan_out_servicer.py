"""AdminService of a server of several processes: one word reaches them all."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import structlog
from google.protobuf.message import Message

from stepwell.base.clock import Clock
from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.serving.admin_gate import operator_of
from stepwell.serving.audit_log import AuditEntry, AuditLog
from stepwell.serving.ladder_constants import PinnedState
from stepwell.serving.releases_view import parts_of
from stepwell.serving.validation import check_message
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc, common_pb2

_Context = grpc.aio.ServicerContext[Any, Any]
_log = structlog.get_logger(__name__)
_CALL_SECONDS = 2.0
_POLL_SECONDS = 300.0
"""A process may have a large release to load, and wait for another that loads it."""
_BREAKER_STATES = ("CLOSED", "HALF_OPEN", "OPEN")
"""From good to bad."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One process as its supervisor sees it.

    Attributes:
        number: its place, from 0 on; its successor has the same.
        pid: 0 while there is none.
        state: as WorkerStatus has it.
        num_restarts: times that it ended without being asked to.
        admin_address: of its AdminService; "" until it serves.
    """

    number: int
    pid: int
    state: str
    num_restarts: int
    admin_address: str


class Crew(Protocol):
    """The processes of a server."""

    def views(self) -> Sequence[WorkerView]:
        """Returns each process, by number."""
        ...


class AdminFanOut(admin_pb2_grpc.AdminServiceServicer):
    """Tells every process, and remembers it for those that start later.

    Args:
        crew: the processes.
        audit: takes every action down, once.
        clock: monotonic time.

    Concurrency: one event loop; actions one after the other.
    """

    def __init__(self, crew: Crew, audit: AuditLog, clock: Clock) -> None:
        self.pinned = PinnedState()
        self._crew = crew
        self._audit = audit
        self._clock = clock
        self._started_us = clock.monotonic_us()
        self._acting = asyncio.Lock()

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: _Context
    ) -> admin_pb2.GetStatusResponse:
        """Returns how each process stands, and on top how they stand together."""
        views = self._crew.views()
        asked = admin_pb2.GetStatusRequest()
        answers: list[admin_pb2.GetStatusResponse | None] = await asyncio.gather(
            *(_answer(view.admin_address, "GetStatus", asked) for view in views)
        )
        workers = [
            admin_pb2.WorkerStatus(
                worker=view.number,
                pid=view.pid,
                state=view.state,
                num_restarts=view.num_restarts,
                status=answer,
            )
            for view, answer in zip(views, answers, strict=True)
        ]
        together = _together([answer for answer in answers if answer is not None])
        together.workers.extend(workers)
        uptime_us = self._clock.monotonic_us() - self._started_us
        together.uptime_seconds = uptime_us // 1_000_000
        return together

    async def ForceTier(
        self, request: admin_pb2.ForceTierRequest, context: _Context
    ) -> admin_pb2.ForceTierResponse:
        """Pins every request of every process; a process that starts later too."""
        check_message(request)
        async with self._acting:
            previous = self.pinned.tier
            # First remembered: a process that starts now is born with it.
            self.pinned.tier = request.tier
            await _tell(self._addresses(), "ForceTier", request)
            names = common_pb2.Tier.Name
            before = {"tier": names(previous)}
            after = {"tier": names(request.tier)}
            who = operator_of(context)
            await self._take_down("ForceTier", who, before, after, request.reason)
        return admin_pb2.ForceTierResponse(previous=previous)

    async def SetLadder(
        self, request: admin_pb2.SetLadderRequest, context: _Context
    ) -> admin_pb2.SetLadderResponse:
        """Changes constants in every process, or in none."""
        check_message(request)
        async with self._acting:
            first, *others = self._addresses() or [""]
            # All have the same constants: what one takes, all take.
            former = await _judged(first, request)
            self.pinned.merge(request)
            await _tell(others, "SetLadder", request)
            before, after = _difference(request, former)
            who = operator_of(context)
            await self._take_down("SetLadder", who, before, after, request.reason)
        return former

    async def ListReleases(
        self, request: admin_pb2.ListReleasesRequest, context: _Context
    ) -> admin_pb2.ReleasesView:
        """Returns the releases that each process holds; on top, the first's."""
        return await self._releases("ListReleases", request, _CALL_SECONDS)

    async def PollReleases(
        self, request: admin_pb2.PollReleasesRequest, context: _Context
    ) -> admin_pb2.ReleasesView:
        """Has every process look at the registry now."""
        check_message(request)
        listed = admin_pb2.ListReleasesRequest()
        before = await self._releases("ListReleases", listed, _CALL_SECONDS)
        after = await self._releases("PollReleases", request, _POLL_SECONDS)
        who = operator_of(context)
        parts = parts_of(before), parts_of(after)
        await self._take_down("PollReleases", who, *parts, request.reason)
        return after

    async def bring_up_to_date(self, view: WorkerView, born_with: str) -> None:
        """Tells a process what changed since it was started.

        Args:
            born_with: `pinned.to_text()` of that time.
        """
        async with self._acting:
            if born_with == self.pinned.to_text():
                return
            address = [view.admin_address]
            reason = "changed while the process started"
            tier = admin_pb2.ForceTierRequest(tier=self.pinned.tier, reason=reason)
            await _tell(address, "ForceTier", tier)
            constants = admin_pb2.SetLadderRequest(reason=reason)
            constants.MergeFrom(self.pinned.constants)
            await _tell(address, "SetLadder", constants)

    def _addresses(self) -> list[str]:
        views = self._crew.views()
        return [view.admin_address for view in views if view.admin_address]

    async def _releases(
        self, method: str, request: Message, seconds: float
    ) -> admin_pb2.ReleasesView:
        views = self._crew.views()
        answers: list[admin_pb2.ReleasesView | None] = await asyncio.gather(
            *(_answer(view.admin_address, method, request, seconds) for view in views)
        )
        together = admin_pb2.ReleasesView()
        if first := next((answer for answer in answers if answer is not None), None):
            together.CopyFrom(first)
        together.workers.extend(
            admin_pb2.WorkerReleases(worker=view.number, pid=view.pid, view=answer)
            for view, answer in zip(views, answers, strict=True)
        )
        return together

    async def _take_down(
        self,
        action: str,
        who: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        reason: str,
    ) -> None:
        entry = AuditEntry(action, who, before, after, reason)
        await asyncio.to_thread(self._audit.write, entry)


async def _call(
    address: str, method: str, request: Message, seconds: float = _CALL_SECONDS
) -> Any:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        return await getattr(stub, method)(request, timeout=seconds)


async def _answer(
    address: str, method: str, request: Message, seconds: float = _CALL_SECONDS
) -> Any:
    """Returns what a process answers, None from one that does not."""
    if not address:
        return None
    try:
        return await _call(address, method, request, seconds)
    except grpc.aio.AioRpcError as error:
        _log.warning("worker does not answer", method=method, error=error.details())
        return None


async def _tell(addresses: Sequence[str], method: str, request: Message) -> None:
    """Calls all at once; who does not answer is dying, and its successor knows."""
    answers = await asyncio.gather(
        *(_call(address, method, request) for address in addresses),
        return_exceptions=True,
    )
    for address, answer in zip(addresses, answers, strict=True):
        if isinstance(answer, BaseException):
            _log.warning("worker not told", admin_address=address, error=str(answer))


async def _judged(
    address: str, request: admin_pb2.SetLadderRequest
) -> admin_pb2.SetLadderResponse:
    """Has one process take the request, or say what is wrong with it."""
    if not address:
        raise UnavailableError("no process serves now; try again")
    try:
        former: admin_pb2.SetLadderResponse = await _call(address, "SetLadder", request)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            raise InvalidArgumentError(str(error.details())) from error
        text = f"a process does not answer: {error.details()}"
        raise UnavailableError(text) from error
    return former


def _together(
    answers: Sequence[admin_pb2.GetStatusResponse],
) -> admin_pb2.GetStatusResponse:
    """Returns the first answer with the others' counts added and their worst costs."""
    together = admin_pb2.GetStatusResponse()
    for place, answer in enumerate(answers):
        if place == 0:
            together.CopyFrom(answer)
            continue
        together.queue_length += answer.queue_length
        together.fit_ratio = min(together.fit_ratio, answer.fit_ratio)
        for tier, other in zip(together.tiers, answer.tiers, strict=True):
            tier.num_served += other.num_served
            tier.cost_mean_us = max(tier.cost_mean_us, other.cost_mean_us)
            tier.cost_p95_us = max(tier.cost_p95_us, other.cost_p95_us)
            tier.cost_is_live |= other.cost_is_live
        for breaker, seen in zip(together.breakers, answer.breakers, strict=True):
            states = (breaker.state, seen.state)
            breaker.state = max(states, key=_BREAKER_STATES.index)
    return together


def _difference(
    request: admin_pb2.SetLadderRequest, former: admin_pb2.SetLadderResponse
) -> tuple[dict[str, int], dict[str, int]]:
    """Returns what a request changes, before and after, by path."""
    after = dict(_leaves(request.ladder, "ladder"))
    before = dict(_leaves(former.previous_ladder, "ladder"))
    for name in request.breakers:
        path = f"breakers.{name}"
        after.update(_leaves(request.breakers[name], path))
        before.update(_leaves(former.previous_breakers[name], path))
    changed = {path: value for path, value in after.items() if before[path] != value}
    return {path: before[path] for path in changed}, changed


def _leaves(message: Message, path: str) -> Iterable[tuple[str, int]]:
    for descriptor, value in message.ListFields():
        below = f"{path}.{descriptor.name}"
        if isinstance(value, Message):
            yield from _leaves(value, below)
        else:
            yield below, value
