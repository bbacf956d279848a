"""A server for tests of the generator: the real gRPC stack, a small shop behind it."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import grpc

from stepwell_pb.v1 import recommend_pb2, recommend_pb2_grpc

Context = grpc.aio.ServicerContext[
    recommend_pb2.RecommendRequest, recommend_pb2.RecommendResponse
]
Answering = Callable[
    [recommend_pb2.RecommendRequest, Context], recommend_pb2.RecommendResponse | None
]


@dataclass(slots=True)
class Shop(recommend_pb2_grpc.RecommendServiceServicer):
    """Answers at once unless told otherwise.

    Attributes:
        delay_s: of every answer.
        one_at_a_time: the next call waits until the last one is answered.
        refusal: status in place of an answer.
        stalled_until_s: time.perf_counter() before which no answer leaves, as of a
            server that is stopped.
        restart: starts another server on the port, then drains the first.
        die: closes every connection; for so many seconds nobody answers.
    """

    delay_s: float = 0.0
    one_at_a_time: bool = False
    refusal: grpc.StatusCode | None = None
    stalled_until_s: float = 0.0
    num_calls: int = 0
    cancelled: SimpleQueue[str] = field(default_factory=SimpleQueue)
    queue: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: list[str] = field(default_factory=list)
    timeouts_s: list[float | None] = field(default_factory=list)
    address: str = ""
    restart: Callable[[], None] = lambda: None
    die: Callable[[float], None] = lambda _: None

    async def Recommend(
        self, request: recommend_pb2.RecommendRequest, context: Context
    ) -> recommend_pb2.RecommendResponse:
        self.num_calls += 1
        self.users.append(request.user_id)
        self.timeouts_s.append(context.time_remaining())
        try:
            if self.one_at_a_time:
                async with self.queue:
                    await self._work()
            else:
                await self._work()
        except asyncio.CancelledError:
            self.cancelled.put(request.user_id)
            raise
        if self.refusal is not None:
            context.set_trailing_metadata(
                (
                    ("grpc-retry-pushback-ms", "25"),
                    ("grpc-status-details-bin", b"\0\1\2details" * 9),
                )
            )
            await context.abort(self.refusal, "shed, said the café")
        return _answer(request)

    async def _work(self) -> None:
        stall_s = self.stalled_until_s - time.perf_counter()
        await asyncio.sleep(max(self.delay_s, stall_s, 0.0))


def _answer(
    request: recommend_pb2.RecommendRequest,
) -> recommend_pb2.RecommendResponse:
    response = recommend_pb2.RecommendResponse(request_id="r")
    for number in range(request.num_items):
        response.items.add(item_id=f"item-{number}", name="n" * 40)
    forced = int(request.forced_tier)
    response.served_by.tier = forced or 1  # type: ignore[assignment]
    if forced:
        response.served_by.reasons.append(15)  # type: ignore[arg-type]
    response.served_by.server_us = 700
    response.served_by.queue_us = 50
    return response


@contextmanager
def serving(shop: Shop) -> Iterator[Shop]:
    """Serves a shop from a thread of its own until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin(port: int) -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        recommend_pb2_grpc.add_RecommendServiceServicer_to_server(shop, server)
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        return server, bound

    def now(work: Coroutine[Any, Any, object]) -> object:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    server, port = asyncio.run_coroutine_threadsafe(begin(0), loop).result(10)

    def restart() -> None:
        nonlocal server
        old = server
        server, _ = asyncio.run_coroutine_threadsafe(begin(port), loop).result(10)
        now(old.stop(5.0))

    def die(seconds: float) -> None:
        nonlocal server
        now(server.stop(None))
        now(asyncio.sleep(seconds))
        server, _ = asyncio.run_coroutine_threadsafe(begin(port), loop).result(10)

    shop.address, shop.restart, shop.die = f"127.0.0.1:{port}", restart, die
    try:
        yield shop
    finally:
        now(server.stop(None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def main() -> None:
    """Serves at once and prints the address; ends with its standard input."""
    with serving(Shop()) as shop:
        print(shop.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
