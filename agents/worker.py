"""One worker: a Faust app with three agents, run in the foreground until it is told to stop.

`watch` works off the patients' logs (`agents.watching`); `append` and `obey` check admission events and commands, and
append them to the logs.
Whatever goes wrong in one of them ends the process: what was in work is read again after the restart.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import structlog
from faust.types.tuples import TP

from agents import record
from agents.appending import Decode, checked, decode_admission, decode_command
from agents.broker_watch import BrokerWatch
from agents.clock import DUE, clock_record
from agents.clock_watch import ClockWatch
from agents.core import Core
from agents.exits import Exit, end_process
from agents.in_force import is_settings_key
from agents.lanes import Lanes
from agents.letting_go import LettingGo
from agents.naming import Naming
from agents.observer import Observer, Status
from agents.policy import Policy
from agents.rebuilding import Rebuilding
from agents.recent_log import read_again
from agents.record import UnknownSchemaError
from agents.reporting import Reporting
from agents.sending import Outgoing, send
from agents.stream_app import StreamApp
from agents.table import StateTable
from agents.telling import tell
from agents.topics import CHANGELOG_CONFIG
from agents.transport import ChunkedConsumer
from agents.ward import Ward
from agents.watchdog import StallDetector
from agents.watching import Watching
from agents.worker_config import WorkerConfig, partition_of
from models.stay_model import StayModel

__all__ = ["Worker", "WorkerConfig", "partition_of"]

_log = structlog.get_logger(__name__)
_STOP_SECONDS = 8.0  # a worker that was told to stop is gone within 10 s
_HEARTBEAT_SECONDS = 1.0
_FETCH_BYTES = 524_288  # of a partition; what was fetched is held several times over until it is worked off
_CLOCK_SECONDS = 0.25
_CLOCK_SHARE = 0.02  # of the time, at most, in which the clock is looked at: of many patients less often
_LOOP_STUCK_SECONDS = 30.0
_NOT_READY_SECONDS = 60.0  # longer than a group waits for its members (30 s), and a cluster for a leader
_HOUR_MS = 3_600_000
_GC_THRESHOLDS = (100_000, 20, 100)  # the collector took 8 % of a loaded worker at the defaults


class Worker:
    """Runs one model over the partitions that the consumer group gives it; units may have policies of their own."""

    def __init__(
        self,
        config: WorkerConfig,
        model: StayModel,
        policy: Policy,
        observer: Observer,
        units: Mapping[str, Policy] | None = None,
    ) -> None:
        self._config = config
        self._core = Core(model, policy, config.limits, units=units, right_partition=self._partition_of)
        self._ward = Ward()
        self._reporting = Reporting(observer, self._ward)
        self._naming = Naming(self._core, lambda key: self._states.stored(key))  # noqa: PLW0108 (the table is made later)
        self._clock = ClockWatch(
            self._ward, self, self._naming.rules_of, self._append_to_log, late_ms=config.limits.late_hours * _HOUR_MS
        )
        self._ends: dict[int, int] = {}  # of the logs' partitions, as they were when the state was recovered
        self._held_to: dict[int, int] = {}  # and up to where the states held them
        self._started = time.monotonic()
        self._beat = time.monotonic()
        self._ready = self._stopping = False
        self._broker = BrokerWatch()
        self._readiness = StallDetector(_NOT_READY_SECONDS)
        self.app: StreamApp | None = None
        self._states: StateTable
        self._rebuilding: Rebuilding
        self._letting_go: LettingGo

    # -- life

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, then finish the work in hand, commit, and return the exit code."""
        gc.set_threshold(*_GC_THRESHOLDS)
        return int(asyncio.run(self._run()))

    def status(self) -> Status:
        """Return whether the event loop turns, and whether state is recovered and partitions are worked on."""
        live = time.monotonic() - self._beat < _LOOP_STUCK_SECONDS
        failing: list[str] = [] if live else ["event_loop"]
        app = self.app
        if app is None or not app.started:
            failing.append("starting")
        elif app.rebalancing or not self._ready:
            failing.append("recovering" if app.in_recovery else "rebalancing")
        if self._stopping:
            failing.append("stopping")
        if self._broker.silent:
            failing.append("broker")
        return Status(live=live, ready=not failing, failing=tuple(failing))

    async def _run(self) -> Exit:
        app = self.app = self._build()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        beside = [
            asyncio.create_task(task)
            for task in (
                self._keep_beating(),
                self._keep_asking(),
                self._keep_looking_at_clock(),
                self._letting_go.keep(lambda: sorted(self._ends) if self._works and not self._broker.silent else []),
            )
        ]
        starting = asyncio.create_task(app.start())
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if app.crashed or (starting.done() and starting.exception()):
                    reason = app.crash_reason if app.crashed else starting.exception()
                    end_process(Exit.STREAM_FAILED, f"the stream engine stopped: {type(reason).__name__}: {reason}")
                await asyncio.wait({stopping}, timeout=0.2)
            _log.info("worker_stopping")
            await self._drain(app)
        finally:
            for task in (*beside, starting):
                task.cancel()
        _log.info("worker_stopped")
        return Exit.DRAINED

    async def _drain(self, app: StreamApp) -> None:
        """Let the app finish and commit; end the process where that takes too long.

        Faust's services swallow a cancellation while they wait for their tasks, and the loop itself may hang on a
        broker that has gone: hence no wait_for, and a timer in a thread of its own behind it.
        """
        self._stopping = True
        late = (
            f"work in hand was not done and acknowledged within {_STOP_SECONDS:.0f} s, because the worker or the "
            "broker was slow; it will be done again"
        )
        backstop = threading.Timer(_STOP_SECONDS + 1, end_process, (Exit.NOT_DRAINED, late))
        backstop.daemon = True
        backstop.start()
        stopped, _ = await asyncio.wait({asyncio.create_task(app.stop())}, timeout=_STOP_SECONDS)
        if not stopped:
            end_process(Exit.NOT_DRAINED, late)
        backstop.cancel()

    def _build(self) -> StreamApp:
        config = self._config
        config.data_dir.mkdir(parents=True, exist_ok=True)
        app = StreamApp(
            config.group,
            bootstrap_servers=config.bootstrap_servers,
            autodiscover=False,
            origin=None,
            datadir=str(config.data_dir),
            store="memory://",
            web_enabled=False,
            topic_partitions=config.partitions,
            topic_replication_factor=config.replication_factor,
            topic_disable_leader=True,
            table_standby_replicas=0,
            stream_buffer_maxsize=64,
            stream_wait_empty=True,
            consumer_group_instance_id=config.instance,
            consumer_max_fetch_size=_FETCH_BYTES,
            broker_session_timeout=6.0,  # the least that brokers allow by default: a dead worker's patients wait for it
            broker_heartbeat_interval=1.0,
            broker_rebalance_timeout=30.0,
            broker_commit_interval=1.0,
            producer_max_batch_size=700_000,
            producer_max_request_size=16 * 1024 * 1024,
            worker_redirect_stdouts=False,
            **config.security.app_settings(),
        )
        self._states = StateTable(
            app,
            name="patients",
            partitions=config.partitions,
            prefix=config.topics.prefix,
            record_bytes=self._core.layout.record_bytes,
            version=record.version,
            check=record.check_schema,
            recovered=self._on_recovered,
            extra_topic_configs=dict(CHANGELOG_CONFIG),
        )
        self._rebuilding = Rebuilding(self._core, partial(read_again, config), self._states.items_of)
        app.moves_beside = lambda: self._rebuilding.read_again
        watching = Watching(
            app, config.topics, self._rebuilding, self._states, self._ward, self._clock, self._reporting
        )
        self._letting_go = LettingGo(self._states.items_of, self._logs_begin, self._append_to_log)
        logs = app.chunked_topic(config.topics.observations, config.partitions)
        admissions = app.chunked_topic(config.topics.admissions, config.partitions)
        commands = app.chunked_topic(config.topics.alert_commands, config.partitions)
        app.agent(logs, name="watch")(self._agent(watching.work_off, side_by_side=True))
        app.agent(admissions, name="append")(self._agent(partial(self._append, decode_admission)))
        app.agent(commands, name="obey")(self._agent(partial(self._append, decode_command)))
        return app

    def _agent(self, handle: Any, *, side_by_side: bool = False) -> Any:
        async def whole(work: Any) -> None:
            try:
                await handle(work)
            except asyncio.CancelledError:
                raise
            except UnknownSchemaError as error:
                end_process(Exit.OTHER_SCHEMA, str(error))
            except Exception as error:  # noqa: BLE001 (the one boundary: nothing half done may be committed)
                _log.exception("chunk_failed")
                end_process(Exit.STREAM_FAILED, f"a chunk could not be worked off: {type(error).__name__}")

        lanes = Lanes(whole) if side_by_side else None

        async def agent(stream: Any) -> None:
            async for event in stream.noack().events():
                if lanes is None:
                    event.value.begun = True
                    await whole(event)
                else:
                    lanes.take(event)

        return agent

    # -- the agents

    async def _append(self, decode: Decode, event: Any) -> None:
        """Check events of another topic and append them to their patients' logs, in order.

        Their offsets are committed only once the append is acknowledged: a replay waits for that to order its stream.
        """
        message, chunk, config = event.message, event.value, self._config
        appended, rejected = checked(decode, chunk.records, message.partition, config.limits, self._partition_of)
        refused = [(chunk.records[i], rejection) for i, rejection in rejected]
        await tell(self.app, config.topics, message.partition, {config.topics.observations: appended}, refused)
        self._reporting.refused(len(chunk.records), Counter(rejection.reason for _, rejection in rejected))
        self._consumer.finish(chunk)
        event.ack()

    def _partition_of(self, key: bytes) -> int:
        return partition_of(key, self._config.partitions)

    @property
    def _consumer(self) -> ChunkedConsumer:
        return cast(ChunkedConsumer, cast(Any, self.app).consumer)

    # -- around it

    async def _on_recovered(self, partitions: set[int]) -> None:
        """Take up work once the state is here, if it belongs to the logs that are here."""
        generation = cast(Any, self.app).consumer_generation_id
        logs = {partition: TP(self._config.topics.observations, partition) for partition in partitions}
        ends = await self._consumer.highwaters(*logs.values())
        if cast(Any, self.app).consumer_generation_id != generation:
            return  # assigned anew meanwhile: the next recovery's word counts
        damaged: dict[int, list[bytes]] = {}
        for partition in partitions:
            newest, damaged[partition] = self._look_through(partition)
            self._held_to[partition] = newest + 1
            if newest >= (ends.get(logs[partition]) or 0):
                end_process(
                    Exit.LOG_BEHIND_STATE,
                    f"partition {partition} of the observations is shorter than its state says: the topic was created "
                    "anew or has lost records; take another worker.group, or delete the changelog topic",
                )
        self._ends = {partition: ends.get(log) or 0 for partition, log in logs.items()}
        self._ward.begin({partition: self._states.items_of(partition) for partition in partitions})
        self._clock.begin()
        self._letting_go.begin()
        self._rebuilding.keep_only(partitions)
        await self._naming.name_settings(partitions, self._append_to_log)
        await self._ask_of(damaged)
        self._ready = True
        seconds = time.monotonic() - (self._consumer.rebalance_began or self._started)
        self._reporting.recovered(partitions, seconds, self._states.recovered_bytes)
        await self._clock.look()

    def _look_through(self, partition: int) -> tuple[int, list[bytes]]:
        """Return the newest source offset in a partition's states, and the patients whose states tell nothing."""
        newest, damaged = -1, list[bytes]()
        for key, state in self._states.items_of(partition):
            seen = record.version(key, state)
            newest = max(newest, seen)
            if seen < 0 and not is_settings_key(key):
                damaged.append(key)
        return newest, damaged

    async def _ask_of(self, damaged: Mapping[int, Sequence[bytes]]) -> None:
        """Let the wall clock speak of patients whose states tell nothing, so that they are read again from the log.

        Else a silent one would not be watched before the next measurement.
        """
        now_ms = round(time.time() * 1000)
        for partition, keys in damaged.items():
            if keys:
                _log.warning("damaged_states_met", partition=partition, patients=len(keys))
                await self._append_to_log(partition, [clock_record(key, now_ms, DUE) for key in keys])

    def waiting(self, partition: int) -> int | None:
        """Return how many records of a partition of the logs wait; None where that is not known yet."""
        end = self._ends.get(partition, 0)
        waiting = self._consumer.waiting(TP(self._config.topics.observations, partition), end)
        if waiting is None and self._held_to.get(partition, 0) == end:
            return 0  # nothing was sought yet, and nothing stands after what the states hold
        return waiting

    async def _append_to_log(self, partition: int, records: Sequence[Outgoing]) -> None:
        await send(self.app, self._config.topics.observations, partition, records)

    async def _logs_begin(self, partitions: Sequence[int]) -> dict[int, int]:
        logs = {TP(self._config.topics.observations, partition): partition for partition in partitions}
        return {logs[log]: offset or 0 for log, offset in (await self._consumer.earliest_offsets(*logs)).items()}

    @property
    def _works(self) -> bool:
        app = self.app
        return bool(app and app.started and self._ready and not app.rebalancing and not app.in_recovery)

    async def _keep_looking_at_clock(self) -> None:
        pause = _CLOCK_SECONDS
        while True:
            await asyncio.sleep(pause)
            if not self._works:
                continue
            began = time.thread_time()
            try:
                await self._clock.look()
            except Exception as error:  # noqa: BLE001 (a log without its clock would look as if all were well)
                _log.exception("clock_failed")
                end_process(Exit.STREAM_FAILED, f"the clock could not be looked at: {type(error).__name__}")
            pause = min(1.0, max(_CLOCK_SECONDS, (time.thread_time() - began) / _CLOCK_SHARE))

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            self._broker.tell()
            self._watch_readiness()
            self._reporting.count_ward(0 if self.app is None else self._states.held_bytes)
            self._reporting.show_rules([self._naming.rules_of(partition) for partition in sorted(self._ends)[:1]])
            if self.app is not None and self.app.started and self.app.in_recovery:
                self._reporting.recovering(self._states.held, self._states.recovered_bytes)
            if self.app is not None and self.app.started and self._ready:
                self._reporting.count_lag(self._consumer.lag())
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    def _watch_readiness(self) -> None:
        """End the process where the group or the recovery leaves it waiting for ever, though the cluster answers."""
        app = self.app
        if app is None or not app.started:
            return
        waiting = not (self._works or self._broker.silent or self._stopping)
        position = (app.consumer_generation_id, app.in_recovery, self._states.recovered_bytes)
        if self._readiness.stalled("worker", position, waiting=waiting, now=time.monotonic()):
            end_process(Exit.STALLED, f"not ready for {_NOT_READY_SECONDS:.0f} s, and neither group nor recovery moved")

    async def _keep_asking(self) -> None:
        """Note when the cluster last answered: readiness ends when it does not, however little there is to do."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            if self.app is None or not self.app.started or await self._consumer.cluster_answers():
                self._broker.answered()
