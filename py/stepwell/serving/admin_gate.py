"""Who may do what at the operator's door, and the line that every failure leaves."""

import asyncio
import enum
from collections.abc import Callable
from typing import Any

import grpc

from stepwell.base.errors import PermissionDeniedError
from stepwell.serving.audit_log import AuditEntry, AuditLog
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]

OPERATOR_KEY = "operator"
"""Metadata key under which an operator may say who they are."""


class Role(enum.Enum):
    """What a caller may do; the value is its sentence."""

    READER = "may look"
    OPERATOR = "may look and change"


def operator_of(context: _Context) -> str:
    """Returns who calls: the peer, and the name it gives itself where it does."""
    peer = str(context.peer())
    names = [v for k, v in context.invocation_metadata() or () if k == OPERATOR_KEY]
    return f"{names[0]!s:.64} at {peer}" if names else peer


class AdminGate(admin_pb2_grpc.AdminServiceServicer):
    """Lets everybody look, and an operator change.

    Who reached the Unix socket was let in by its mode, 0600: the user that the server
    runs as. Who came over TCP on loopback may be any user of the machine, and has the
    role that the server gives to that port.

    Args:
        inner: does what is asked.
        tcp_role: of callers over TCP.
        audit: takes a change down that is refused or fails; one that is done, `inner`
            takes down.

    Concurrency: as `inner`.
    """

    def __init__(
        self,
        inner: admin_pb2_grpc.AdminServiceServicer,
        tcp_role: Role,
        audit: AuditLog,
    ) -> None:
        self._inner = inner
        self._tcp_role = tcp_role
        self._audit = audit

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: _Context
    ) -> admin_pb2.GetStatusResponse:
        """Returns what is live and how the ladder stands."""
        answer: admin_pb2.GetStatusResponse
        answer = await self._inner.GetStatus(request, context)
        return answer

    async def ListReleases(
        self, request: admin_pb2.ListReleasesRequest, context: _Context
    ) -> admin_pb2.ReleasesView:
        """Returns the releases that the server holds."""
        answer: admin_pb2.ReleasesView
        answer = await self._inner.ListReleases(request, context)
        return answer

    async def ForceTier(
        self, request: admin_pb2.ForceTierRequest, context: _Context
    ) -> admin_pb2.ForceTierResponse:
        """Pins every request to a tier."""
        answer: admin_pb2.ForceTierResponse
        answer = await self._changed(self._inner.ForceTier, request, context)
        return answer

    async def SetLadder(
        self, request: admin_pb2.SetLadderRequest, context: _Context
    ) -> admin_pb2.SetLadderResponse:
        """Changes constants."""
        answer: admin_pb2.SetLadderResponse
        answer = await self._changed(self._inner.SetLadder, request, context)
        return answer

    async def PollReleases(
        self, request: admin_pb2.PollReleasesRequest, context: _Context
    ) -> admin_pb2.ReleasesView:
        """Looks at the registry now."""
        answer: admin_pb2.ReleasesView
        answer = await self._changed(self._inner.PollReleases, request, context)
        return answer

    async def _changed(
        self, method: Callable[..., Any], request: Any, context: _Context
    ) -> Any:
        action = method.__name__
        try:
            self._check(action, context)
            return await method(request, context)
        except Exception as error:
            entry = AuditEntry(
                action,
                operator_of(context),
                before={},
                after={"refused": str(error) or repr(error)},
                reason=request.reason[:256],
            )
            await asyncio.to_thread(self._audit.write, entry)
            raise

    def _check(self, action: str, context: _Context) -> None:
        is_local = str(context.peer()).startswith("unix:")
        role = Role.OPERATOR if is_local else self._tcp_role
        if role is not Role.OPERATOR:
            raise PermissionDeniedError(
                f"over TCP a caller {role.value}; {action} is for the Unix socket, or "
                "start the server with --admin_port_role=operator"
            )
