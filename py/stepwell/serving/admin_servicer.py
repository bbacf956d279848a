"""AdminService: how the server stands, the ladder in hand, a look at the releases."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from stepwell.base.clock import Clock
from stepwell.degradation.circuit_breaker import CircuitBreaker
from stepwell.degradation.controller import LadderController
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.releases.manifest import Manifest
from stepwell.serving.admin_gate import operator_of
from stepwell.serving.audit_log import AuditEntry, AuditLog
from stepwell.serving.call import TIER_OF_WIRE, WIRE_OF_TIER
from stepwell.serving.ladder_constants import LadderSettings
from stepwell.serving.releases_view import parts_of
from stepwell.serving.validation import check_message
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc, common_pb2, release_pb2

_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class ReleaseActions:
    """What may be asked of the releases.

    Attributes:
        view: returns those that are held, and what for.
        poll: looks at the registry and returns when what it wants was done, or refused.
    """

    view: Callable[[], admin_pb2.ReleasesView]
    poll: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the operator is told beside the ladder.

    Attributes:
        live: returns the live release's manifest and state; None without one.
        queue_length: returns the number of waiting requests.
        releases: what may be asked of them.
    """

    live: Callable[[], tuple[Manifest | None, str]]
    queue_length: Callable[[], int]
    releases: ReleaseActions


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """Reads the ladder, pins it, changes its constants, and looks for releases.

    Args:
        ladder: of this server.
        breakers: of its dependencies, by name.
        facts: of the server.
        audit: takes every action down.
        clock: monotonic time.

    Concurrency: one event loop; an action is on disk before it is answered.
    """

    def __init__(
        self,
        ladder: LadderController,
        breakers: Mapping[str, CircuitBreaker],
        facts: ServerFacts,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._ladder = ladder
        self._settings = LadderSettings(ladder, breakers)
        self._facts = facts
        self._audit = audit
        self._clock = clock
        self._started_us = clock.monotonic_us()

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: _Context
    ) -> admin_pb2.GetStatusResponse:
        """Returns what is live and how the ladder stands."""
        status = self._ladder.status()
        manifest, state = self._facts.live()
        now_us = self._clock.monotonic_us()
        return admin_pb2.GetStatusResponse(
            release=None if manifest is None else manifest_message(manifest),
            release_state=state,
            forced_tier=_wire(status.forced),
            tiers=[
                admin_pb2.TierStatus(
                    tier=WIRE_OF_TIER[tier],
                    num_served=status.num_served[tier],
                    cost_mean_us=status.costs[tier].mean_us,
                    cost_p95_us=status.costs[tier].p95_us,
                    cost_is_live=status.costs[tier].is_live,
                )
                for tier in BEST_FIRST
            ],
            queue_length=self._facts.queue_length(),
            fit_ratio=status.fit_ppm / 1e6,
            uptime_seconds=(now_us - self._started_us) // 1_000_000,
            ladder=self._settings.ladder(),
            breakers=self._settings.breakers(now_us),
        )

    async def ForceTier(
        self, request: admin_pb2.ForceTierRequest, context: _Context
    ) -> admin_pb2.ForceTierResponse:
        """Pins every request to a tier; UNSPECIFIED gives the choice back."""
        check_message(request)
        tier = TIER_OF_WIRE.get(request.tier)
        previous = self._ladder.force(tier)
        before, after = {"tier": _word(previous)}, {"tier": _word(tier)}
        entry = AuditEntry(
            "ForceTier", operator_of(context), before, after, request.reason
        )
        await asyncio.to_thread(self._audit.write, entry)
        return admin_pb2.ForceTierResponse(previous=_wire(previous))

    async def SetLadder(
        self, request: admin_pb2.SetLadderRequest, context: _Context
    ) -> admin_pb2.SetLadderResponse:
        """Changes constants, all that are named or none."""
        check_message(request)
        former = self._settings.former(request)
        changed = self._settings.apply(request)
        entry = AuditEntry(
            "SetLadder",
            operator_of(context),
            {change.path: change.before for change in changed},
            {change.path: change.after for change in changed},
            request.reason,
        )
        await asyncio.to_thread(self._audit.write, entry)
        return former

    async def ListReleases(
        self, request: admin_pb2.ListReleasesRequest, context: _Context
    ) -> admin_pb2.ReleasesView:
        """Returns the releases that the server holds."""
        return self._facts.releases.view()

    async def PollReleases(
        self, request: admin_pb2.PollReleasesRequest, context: _Context
    ) -> admin_pb2.ReleasesView:
        """Looks at the registry now; takes what came of it down."""
        check_message(request)
        releases = self._facts.releases
        before = releases.view()
        await releases.poll()
        after = releases.view()
        entry = AuditEntry(
            "PollReleases",
            operator_of(context),
            parts_of(before),
            parts_of(after),
            request.reason,
        )
        await asyncio.to_thread(self._audit.write, entry)
        return after


def manifest_message(manifest: Manifest) -> release_pb2.ReleaseManifest:
    """Returns a manifest as services talk about it."""
    metadata = manifest.metadata
    return release_pb2.ReleaseManifest(
        format_version=manifest.format_version,
        serial=manifest.serial,
        release_id=manifest.release_id,
        created_time_seconds=manifest.created_time_seconds,
        data_watermark_seconds=metadata.data_watermark_seconds,
        files=[
            release_pb2.ReleaseFile(
                path=file.path,
                size_bytes=file.size_bytes,
                sha256=bytes.fromhex(file.sha256),
            )
            for file in manifest.files
        ],
        embedding_space_hash=bytes.fromhex(metadata.embedding_space_hash),
        feature_schema_hash=bytes.fromhex(metadata.feature_schema_hash),
        signature=bytes.fromhex(manifest.signature),
        feature_service_hash=bytes.fromhex(manifest.feature_service_hash or ""),
    )


def _wire(tier: Tier | None) -> common_pb2.Tier:
    return common_pb2.TIER_UNSPECIFIED if tier is None else WIRE_OF_TIER[tier]


def _word(tier: Tier | None) -> str:
    return "none" if tier is None else tier.label
