"""The small project with its online store in a real Redis behind a faulty line."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.tcp_proxy import TcpProxy, Toxics, tcp_proxy
from integration.small_project import SmallProject
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.stores.locations import open_key_value_store
from stepwell.stores.redis_server_fixture import RedisServer, redis_server

_IMPORT_TIMEOUT_MS = 10_000


@dataclass
class RedisProject:
    """A published release and user state in Redis; servers reach it by the proxy."""

    project: SmallProject
    proxy: TcpProxy
    folder: Path
    server: RedisServer
    _stack: ExitStack

    @classmethod
    @contextmanager
    def running(cls, project: SmallProject, folder: Path) -> "Iterator[RedisProject]":
        """Starts Redis below `folder`, imports the users and starts the proxy."""
        with ExitStack() as stack:
            server = stack.enter_context(redis_server(folder))
            store = open_key_value_store(server.url, _IMPORT_TIMEOUT_MS)
            users = UserStateFile.load(project.state.training / USER_STATE_NAME)
            import_user_state(users, store)
            store.close()
            proxy = stack.enter_context(tcp_proxy(server.port))
            yield cls(project, proxy, folder, server, stack)

    def flags(self, *more: str) -> list[str]:
        """Flags of a ranker_main that serves this project; a later one wins."""
        url = f"redis://127.0.0.1:{self.proxy.port}/0"
        return self.project.flags(
            f"--store={url}", f"--event_log={self.folder / 'events'}", *more
        )

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Redis is killed; at the end it is started again with its data."""
        self.server.process.kill()
        self.server.process.wait(timeout=10)
        self.proxy.strike(Toxics(refuse=True))
        try:
            yield
        finally:
            self.server = self._stack.enter_context(redis_server(self.folder))
            self.proxy.retarget(self.server.port)
            self.proxy.heal()
