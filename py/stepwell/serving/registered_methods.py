"""What generated code takes for a server: it hands the methods of its services over."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

if TYPE_CHECKING:
    import grpc

    Handler = grpc.RpcMethodHandler[Any, Any]


class RegisteredMethods(ABC):
    """Takes services in; to `add_*Servicer_to_server` it is the server.

    Concurrency: one thread, before the first call.
    """

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: "Mapping[str, Handler]"
    ) -> None:
        """Takes a service in, as generated code registers it."""
        for name, handler in method_handlers.items():
            # Generated code parses by a method of the request's class.
            parse: Any = handler.request_deserializer
            self.take_in(f"/{service_name}/{name}", handler, parse.__self__)

    def add_generic_rpc_handlers(  # noqa: B027 - whole as it is
        self, generic_rpc_handlers: Sequence[Any]
    ) -> None:
        """The other way in which generated code registers the same handlers."""

    @abstractmethod
    def take_in(self, path: str, handler: "Handler", request: type[Message]) -> None:
        """Takes one method in.

        Args:
            path: as on the wire: /package.Service/Method.
            handler: its servicer's behaviour, and whether it streams.
            request: the type of its requests.
        """
