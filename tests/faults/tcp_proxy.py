"""A TCP proxy that spoils a connection on purpose, in toxiproxy's words.

It stands between a client and a real server on loopback. What it does to the bytes is
switched at run time, for the connections that are open as for those to come.

    with tcp_proxy(redis.port) as proxy:
        proxy.strike(Toxics(latency_ms=200))
        ...
        proxy.heal()
"""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_CHUNK_BYTES = 65_536
_QUEUED_CHUNKS = 64
_LINGER_NONE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Toxics:
    """What happens to connections; every field at its default lets all pass.

    Attributes:
        latency_ms: added to everything the server answers.
        jitter_ms: added on top, uniform between 0 and this; order is kept.
        bandwidth_bytes_per_s: of the answers of one connection; 0 sets no limit.
        slice_bytes: answers arrive in pieces of this size; 0 leaves them whole.
        slice_delay_ms: pause after each piece: a trickle.
        blackhole: bytes of both directions are taken and never passed on; connections
            stay open and new ones are taken.
        half_open: the server's side is closed and the client's never hears of it; what
            connects meanwhile is taken and never answered, also after `heal`.
        reset: connections, open and new, end with RST.
        refuse: nobody listens at the port; open connections end with RST.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_bytes_per_s: int = 0
    slice_bytes: int = 0
    slice_delay_ms: float = 0.0
    blackhole: bool = False
    half_open: bool = False
    reset: bool = False
    refuse: bool = False


HEALTHY = Toxics()


@dataclass(eq=False, slots=True)
class _Link:
    """One client's connection and the one to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None
    task: "asyncio.Task[None] | None" = None


class TcpProxy:
    """Listens on loopback and passes bytes to one port of loopback.

    Args:
        target_port: of the real server.
        seed: of the jitter.

    Concurrency: `strike` and `heal` from any thread; they return when what they ask for
    holds. The bytes move on a thread of the proxy's own.
    """

    def __init__(self, target_port: int, seed: int = 1) -> None:
        self._target_port = target_port
        self._random = random.Random(seed)
        self._toxics = HEALTHY
        self._links: set[_Link] = set()
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._ask(self._listen())

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._port

    @property
    def num_connections(self) -> int:
        """Connections that clients hold open now."""
        return len(self._links)

    def strike(self, toxics: Toxics) -> None:
        """From now on connections suffer this, and nothing of what was before."""
        self._ask(self._strike(toxics))

    def heal(self) -> None:
        """From now on all passes."""
        self.strike(HEALTHY)

    def retarget(self, target_port: int) -> None:
        """Connections to come go to this port: the server came back elsewhere."""
        self._target_port = target_port

    def close(self) -> None:
        """Ends every connection and the thread."""
        self._ask(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _ask(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=_CHUNK_BYTES
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _strike(self, toxics: Toxics) -> None:
        self._toxics = toxics
        if toxics.refuse and self._listener is not None:
            self._listener.close()
            self._listener = None
        if not toxics.refuse and self._listener is None:
            await self._listen()
        for link in list(self._links):
            if toxics.reset or toxics.refuse:
                _reset(link.client)
            if (toxics.half_open or toxics.reset or toxics.refuse) and link.server:
                link.server.close()
                link.server = None

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        tasks = [link.task for link in self._links if link.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        link = _Link(client, None, asyncio.current_task())
        self._links.add(link)
        try:
            await self._pass_on(link, reader)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
            for writer in (link.client, link.server):
                if writer is not None:
                    writer.close()

    async def _pass_on(self, link: _Link, reader: asyncio.StreamReader) -> None:
        if self._toxics.reset:
            _reset(link.client)
            return
        if self._toxics.half_open:
            await _drained(reader)
            return
        answers, link.server = await asyncio.open_connection(
            "127.0.0.1", self._target_port, limit=_CHUNK_BYTES
        )
        back = asyncio.create_task(self._answers(link, answers))
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if link.server is not None and not self._toxics.blackhole:
                    link.server.write(data)
                    await link.server.drain()
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)

    async def _answers(self, link: _Link, reader: asyncio.StreamReader) -> None:
        """Reads and writes apart, so that latency delays and does not throttle."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_CHUNKS)
        writing = asyncio.create_task(self._written(link, waiting))
        try:
            while data := await reader.read(_CHUNK_BYTES):
                toxics = self._toxics
                delay_ms = toxics.latency_ms + self._random.uniform(0, toxics.jitter_ms)
                if not toxics.blackhole:
                    await waiting.put((self._loop.time() + delay_ms / 1e3, data))
            # The server hung up; its client learns it, but for a half-open end.
            if not self._toxics.half_open and link.server is not None:
                link.client.close()
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _written(
        self, link: _Link, waiting: "asyncio.Queue[tuple[float, bytes]]"
    ) -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(due - self._loop.time(), 0))
            while data:
                toxics = self._toxics
                size = toxics.slice_bytes or len(data)
                piece, data = data[:size], data[size:]
                if toxics.bandwidth_bytes_per_s:
                    await asyncio.sleep(len(piece) / toxics.bandwidth_bytes_per_s)
                with suppress(ConnectionError):
                    link.client.write(piece)
                    await link.client.drain()
                if toxics.slice_bytes:
                    await asyncio.sleep(toxics.slice_delay_ms / 1e3)


async def _drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(_CHUNK_BYTES):
        pass


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST: closed with nothing lingering."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    writer.transport.abort()


@contextmanager
def tcp_proxy(target_port: int, seed: int = 1) -> Iterator[TcpProxy]:
    """A proxy before a port of loopback; gone at the end."""
    proxy = TcpProxy(target_port, seed)
    try:
        yield proxy
    finally:
        proxy.close()
