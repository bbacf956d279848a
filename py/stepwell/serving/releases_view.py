"""The releases that a process holds, as AdminService tells them."""

from collections.abc import Mapping
from typing import Any

from stepwell.releases.canary_route import CanaryRoute
from stepwell.releases.manager import Manager
from stepwell.serving.engine import Engine
from stepwell_pb.v1 import admin_pb2

_MAX_REASON = 512


def releases_view(manager: Manager[Engine]) -> admin_pb2.ReleasesView:
    """Returns what a manager holds now. Concurrency: from any thread."""
    view = admin_pb2.ReleasesView(
        live_serial=manager.live_serial or 0,
        standby_serial=manager.standby_serial or 0,
        releases=[
            admin_pb2.ReleaseStatus(
                serial=status.serial,
                state=status.state.name,
                reason=status.reason[:_MAX_REASON],
            )
            for status in manager.statuses()
        ],
        vetoes=[
            admin_pb2.VetoStatus(serial=serial, reason=reason)
            for serial, reason in sorted(manager.vetoed.items())
        ],
    )
    if (route := manager.canary) is not None:
        view.canary.CopyFrom(_canary(route))
    return view


def parts_of(view: admin_pb2.ReleasesView) -> Mapping[str, Any]:
    """Returns which release has which part, for a line of the audit log."""
    parts = {"live": view.live_serial, "standby": view.standby_serial}
    if view.HasField("canary"):
        parts["canary"] = view.canary.serial
        parts["canary_share_ppm"] = view.canary.share_ppm
    return parts


def _canary(route: CanaryRoute) -> admin_pb2.CanaryStatus:
    return admin_pb2.CanaryStatus(
        serial=route.serial,
        share_ppm=route.share_ppm,
        is_shadow=route.is_shadow,
        started_seconds=route.started_seconds,
    )
