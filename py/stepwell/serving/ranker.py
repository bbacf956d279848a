"""The ranker process: every part in its place, from start to drain."""

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from stepwell.base.allocator import return_freed_memory
from stepwell.base.errors import StepwellError
from stepwell.base.metric_names import RELEASE_LOADS, RELEASE_SERIAL
from stepwell.degradation.controller import LadderController
from stepwell.experiments.arm_outcomes import ArmOutcomes
from stepwell.feedback.impression import ImpressionSideEffect
from stepwell.feedback.log_follower import LogFollower
from stepwell.feedback.log_retention import (
    EventLogRetention,
)
from stepwell.feedback.newest_event import newest_event_seconds
from stepwell.feedback.turn import NO_OTHERS, FileTurn
from stepwell.feedback.updater_thread import UpdaterThread
from stepwell.feedback.user_history_updater import UpdaterOptions, UserHistoryUpdater
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.releases.handle import Release
from stepwell.releases.manager import Manager, ManagerHooks
from stepwell.releases.manifest import Manifest
from stepwell.schema.events import history_types_of
from stepwell.schema.feature_registry import USER_VIEWS
from stepwell.serving.admin_gate import AdminGate
from stepwell.serving.admin_servicer import (
    AdminServicer,
    ReleaseActions,
    ServerFacts,
)
from stepwell.serving.answering import Answering
from stepwell.serving.audit_log import AuditLog
from stepwell.serving.call import DeadlineRules
from stepwell.serving.canary_side import CanaryParts, CanarySide
from stepwell.serving.card_costs import DEFAULT_COSTS
from stepwell.serving.dispatcher import Dispatcher
from stepwell.serving.engine import Engine
from stepwell.serving.feedback_servicer import FeedbackServicer
from stepwell.serving.front_counts import FrontCounts
from stepwell.serving.gauges import (
    ItemActivityGauge,
    LadderGauges,
    QueueGauges,
    ReleaseGauges,
    WriterGauges,
)
from stepwell.serving.metrics_server import MetricsServer
from stepwell.serving.query_maker import QueryMaker
from stepwell.serving.ranker_options import RankerOptions, RankerParts
from stepwell.serving.ready import Ready
from stepwell.serving.recommend_methods import RecommendMethods
from stepwell.serving.release_thread import ReleaseThread
from stepwell.serving.releases_view import releases_view
from stepwell.serving.server import RankerServer, Servicers
from stepwell.serving.shown_slates import ShownSlates
from stepwell.serving.tiered_answering import TieredAnswering
from stepwell.serving.warm_up import warm_up

_log = structlog.get_logger(__name__)


class _Closable(Protocol):
    def close(self) -> None: ...


class Ranker:
    """One ranker. Concurrency: `run` once, on the event loop it was made on."""

    def __init__(self, parts: RankerParts, options: RankerOptions) -> None:
        self._parts = parts
        self._options = options
        clock, metrics = parts.clock, parts.metrics
        self._ladder = LadderController(
            clock, DEFAULT_COSTS, parts.breakers, options.ladder
        )
        self._ladder.release_gone()
        self._ladder.force(options.forced_tier)
        self._release_thread = ReleaseThread()
        self._manager: Manager[Engine] = Manager(
            parts.source, parts.loader, self._release_hooks(), options.releases
        )
        self._audit = AuditLog(options.audit_log, clock)
        self._canary = CanarySide(
            self._manager,
            CanaryParts(
                parts.event_log,
                AuditLog(options.rollback_log, clock),
                options.shadow_log,
                lambda: self.num_in_flight == 0,
                options.canary_look_seconds,
            ),
            clock,
            metrics,
        )
        self._updater = UserHistoryUpdater(
            parts.event_log,
            parts.store,
            clock,
            metrics,
            UpdaterOptions(history_types=None),
        )
        self._clock_started = False
        self._impressions = ImpressionSideEffect(parts.event_log, clock, metrics)
        self._queue = AdmissionQueue(options.max_queue_size)
        self._ladder.attach(self._queue)
        self._dispatcher = Dispatcher(self._queue, self._methods(), self._ladder)
        self._server = RankerServer(
            self._queue,
            self._servicers(),
            options.listen,
            metrics,
            options.default_deadline_us,
        )
        self._gauges = (
            LadderGauges(metrics, clock, self._ladder, parts.breakers),
            QueueGauges(metrics, self._queue, self._dispatcher),
            FrontCounts(metrics, self._server.counters),
            ReleaseGauges(metrics, self._manager),
            WriterGauges(metrics, clock, parts.store, USER_VIEWS),
            ItemActivityGauge(metrics, parts.items),
            self._impressions,
        )
        self._metrics_server = MetricsServer(
            metrics, self.refresh_metrics, options.metrics_host, options.metrics_port
        )
        # Last: a port that is taken must not leave a thread behind at work.
        self._updater_thread = self._start_updater()
        self._follower = LogFollower(
            parts.event_log, parts.items, self._updater_thread.wake
        )

    @property
    def port(self) -> int:
        """The port of callers, known before it serves."""
        return self._server.port

    @property
    def queue_length(self) -> int:
        """Calls that wait for a worker now."""
        return len(self._queue)

    @property
    def num_in_flight(self) -> int:
        """Calls that wait for a worker now, and those that one works on."""
        return self.queue_length + self._dispatcher.num_busy

    def canary_outcomes(self) -> tuple[ArmOutcomes, ArmOutcomes]:
        """Returns what live's and the canary's answers have come to."""
        return self._canary.outcomes.arms()

    def refresh_metrics(self) -> None:
        """Brings what is counted elsewhere up to now, as before every scrape."""
        for gauges in self._gauges:
            gauges.refresh()

    async def run(self, stop: asyncio.Event, on_ready: Callable[[Ready], None]) -> None:
        """Serves until `stop` is set, then drains; returns when all is on disk.

        Args:
            stop: set from a signal handler.
            on_ready: told once, when health has turned to SERVING.
        """
        self._metrics_server.start()
        self._canary.start()
        self._dispatcher.open()
        await self._server.start()
        ending = asyncio.create_task(self._cancel_loads(stop))
        try:
            await self._watch_releases(stop, on_ready)
        finally:
            ending.cancel()
            await self._drain()

    async def _cancel_loads(self, stop: asyncio.Event) -> None:
        """A release that loads when the end comes would be waited for."""
        await stop.wait()
        if self._parts.cancel_loads is not None:
            self._parts.cancel_loads()

    async def _watch_releases(
        self, stop: asyncio.Event, on_ready: Callable[[Ready], None]
    ) -> None:
        ready = False
        while not stop.is_set():
            await asyncio.to_thread(self._refresh)
            await self._polled()
            if not ready and self._manager.live_serial is not None:
                ready = True
                await asyncio.to_thread(
                    self._dispatcher.start, self._options.num_workers, self._warm_worker
                )
                # What start-up made stays: the collector need not look at it again.
                gc.collect()
                gc.freeze()
                self._server.set_ready()
                on_ready(self._ready())
                # The canary and the previous release are still to be loaded.
                continue
            try:
                await asyncio.wait_for(stop.wait(), self._options.poll_seconds)
            except TimeoutError:
                continue

    def _warm_worker(self) -> None:
        """Libraries keep state by thread: the loader's warm-up was on another one."""
        with self._manager.borrow() as release:
            watermark = release.manifest.metadata.data_watermark_seconds
            warm_up(release.content, watermark, num_rounds=1)

    async def poll_releases(self) -> None:
        """Looks for releases now, and returns when what is wanted is done.

        What is held already is flipped to at once, also while another one loads. No
        thread stands by until then.
        """
        if not await asyncio.to_thread(self._manager.flip):
            await asyncio.wrap_future(self._release_thread.submit(self._poll))

    async def _polled(self) -> None:
        """As `poll_releases`; meanwhile it follows all that needs no load."""
        polling = asyncio.wrap_future(self._release_thread.submit(self._poll))
        while not polling.done():
            await asyncio.wait((polling,), timeout=self._options.poll_seconds)
            if not polling.done():
                await asyncio.to_thread(self._refresh)
                await asyncio.to_thread(self._look, self._manager.flip)
        await polling

    def _refresh(self) -> None:
        # Without a scraper too, losses are said.
        self._impressions.refresh()
        if self._parts.experiments is not None:
            self._parts.experiments.refresh()

    def _poll(self) -> None:
        # Before the first one is live nothing else is worth its time.
        until_live = self._manager.live_serial is None
        self._look(lambda: self._manager.poll(until_live=until_live))

    def _look(self, look: Callable[[], object]) -> None:
        """Looks for releases; a registry that cannot be read now keeps the live one."""
        try:
            look()
        except (StepwellError, OSError) as error:
            _log.warning("registry cannot be read", error=str(error))

    async def _drain(self) -> None:
        _log.info("draining")
        await self._server.drain(self._options.drain_seconds)
        # In the order in which work flows; each writes out what it still holds.
        parts: Sequence[_Closable] = (
            self._dispatcher,
            self._canary,
            self._follower,
            self._updater_thread,
            self._manager,
            self._release_thread,
            self._parts.event_log,
            self._impressions,
            self._parts.store,
            self._metrics_server,
        )
        for part in parts:
            await asyncio.to_thread(part.close)
        _log.info("drained")

    def _start_updater(self) -> UpdaterThread:
        parts, options = self._parts, self._options
        retention = EventLogRetention(
            parts.event_log,
            parts.clock,
            parts.metrics,
            options.event_retention_days,
            options.event_log_max_bytes,
        )
        lock = options.updater_lock
        turn = NO_OTHERS if lock is None else FileTurn(lock)
        return UpdaterThread(self._updater, retention, parts.metrics, turn=turn)

    def _methods(self) -> RecommendMethods:
        """What the workers do with a call that they have taken."""
        clock, metrics, options = self._parts.clock, self._parts.metrics, self._options
        shown = ShownSlates(self._impressions.record, options.logged)
        query_of = QueryMaker(
            self._ladder.budget_us,
            shown.is_replayable,
            clock,
            self._parts.experiments,
        )
        answering = Answering(self._canary.trial, query_of, shown, clock, metrics)
        tiered = TieredAnswering(self._ladder, self._queue, answering, clock, metrics)
        deadlines = DeadlineRules(
            options.default_deadline_us, options.deadline_required
        )
        return RecommendMethods(tiered, deadlines, clock, metrics)

    def _servicers(self) -> Servicers:
        clock = self._parts.clock
        admin = AdminServicer(
            self._ladder,
            self._parts.breakers,
            ServerFacts(
                self._live,
                lambda: self.queue_length,
                ReleaseActions(
                    lambda: releases_view(self._manager), self.poll_releases
                ),
            ),
            self._audit,
            clock,
        )
        return Servicers(
            feedback=FeedbackServicer(
                self._parts.event_log, clock, self._parts.metrics, self._on_stored
            ),
            admin=AdminGate(admin, self._options.admin_tcp_role, self._audit),
        )

    def _release_hooks(self) -> ManagerHooks[Engine]:
        return ManagerHooks(
            on_live=self._on_live,
            on_trial=lambda route: self._canary.on_trial(route),
            on_trial_end=lambda serial: self._canary.on_trial_end(serial),
            on_load=self._on_load,
            on_veto=self._parts.on_veto,
            unload=self._unload,
            run_later=self._release_thread.run_later,
        )

    def _on_live(self, release: Release[Engine]) -> None:
        metadata = release.manifest.metadata
        self._advance_clock(metadata.data_watermark_seconds)
        self._updater.fold_only(history_types_of(metadata.models))
        self._on_stored()
        self._parts.metrics.set(RELEASE_SERIAL, release.manifest.serial)
        self._ladder.release_went_live(release.content.card_costs)
        self._canary.on_live()

    def _on_load(self, end: str) -> None:
        self._parts.metrics.add(RELEASE_LOADS, end)
        self._release_thread.run_next(return_freed_memory)

    def _unload(self, engine: Engine) -> None:
        engine.close()
        # Those who called this hold the engine too: it is gone when they are through.
        self._release_thread.run_next(return_freed_memory)

    def _advance_clock(self, watermark_seconds: int) -> None:
        """Event time goes on where an earlier process left it, as the log tells."""
        clock = self._parts.clock
        clock.advance_to(watermark_seconds)
        if self._clock_started:
            # By now the log follows the clock: events that lie ahead do not push it.
            return
        self._clock_started = True
        try:
            newest = newest_event_seconds(self._parts.event_log, watermark_seconds)
        except StepwellError as error:
            _log.warning("the log does not tell its time", error=str(error))
        else:
            clock.advance_to(newest)

    def _on_stored(self) -> None:
        """Gives stored events a moment to take effect before they are acknowledged.

        They are durable already: when the user state cannot follow that fast, as after
        an import, whose log is folded in again, it follows later.
        """
        self._updater_thread.applied_within(self._options.apply_wait_seconds)

    def _live(self) -> tuple[Manifest | None, str]:
        serial = self._manager.live_serial
        states = {status.serial: status for status in self._manager.statuses()}
        if serial is None:
            newest = max(states, default=None)
            return None, states[newest].state.name if newest is not None else ""
        with self._manager.borrow() as release:
            return release.manifest, states[serial].state.name

    def _ready(self) -> Ready:
        manifest, _ = self._live()
        return Ready(
            port=self._server.port,
            metrics_port=self._metrics_server.port,
            admin_port=self._server.admin.port,
            release_id=manifest.release_id if manifest is not None else "",
            admin_address=self._server.admin.address,
        )
