"""AdminService: how the server stands, and the operator's hand on the ladder."""

from collections.abc import Callable
from typing import Any

import grpc
import structlog

from stepwell.base.clock import Clock
from stepwell.degradation.controller import LadderController
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.releases.manifest import Manifest
from stepwell.serving.call import TIER_OF_WIRE, WIRE_OF_TIER
from stepwell.serving.validation import check_message
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc, common_pb2, release_pb2

_Context = grpc.aio.ServicerContext[Any, Any]
_log = structlog.get_logger(__name__)


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """Reads the ladder and pins it.

    Args:
        ladder: of this server.
        live: returns the live release's manifest and state; None without one.
        queue_length: returns the number of waiting requests.
        clock: monotonic time.

    Concurrency: one event loop.
    """

    def __init__(
        self,
        ladder: LadderController,
        live: Callable[[], tuple[Manifest | None, str]],
        queue_length: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._ladder = ladder
        self._live = live
        self._queue_length = queue_length
        self._clock = clock
        self._started_us = clock.monotonic_us()

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: _Context
    ) -> admin_pb2.GetStatusResponse:
        """Returns what is live and how the ladder stands."""
        status = self._ladder.status()
        manifest, state = self._live()
        uptime_us = self._clock.monotonic_us() - self._started_us
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
            queue_length=self._queue_length(),
            fit_ratio=status.fit_ppm / 1e6,
            uptime_seconds=uptime_us // 1_000_000,
        )

    async def ForceTier(
        self, request: admin_pb2.ForceTierRequest, context: _Context
    ) -> admin_pb2.ForceTierResponse:
        """Pins every request to a tier; UNSPECIFIED gives the choice back."""
        check_message(request)
        tier = TIER_OF_WIRE.get(request.tier)
        previous = self._ladder.force(tier)
        _log.warning(
            "tier forced",
            tier=tier.label if tier else "none",
            previous=previous.label if previous else "none",
            reason=request.reason,
            peer=context.peer(),
        )
        return admin_pb2.ForceTierResponse(previous=_wire(previous))


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
    )


def _wire(tier: Tier | None) -> common_pb2.Tier:
    return common_pb2.TIER_UNSPECIFIED if tier is None else WIRE_OF_TIER[tier]
