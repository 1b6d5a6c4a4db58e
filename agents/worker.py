"""One worker: a Faust app with two agents, run in the foreground until it is told to stop.

`watch` works off the patients' logs a chunk at a time; `append` checks admission events and appends them to the logs.
The order of writes in `watch` is the guarantee: alerts, scores and refusals are acknowledged by the broker, then
ownership is confirmed, then the changelog is acknowledged, then the local store is written, then the chunk may be
committed. Whatever goes wrong in between ends the process: the chunk is read again after the restart.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog
from aiokafka.partitioner import murmur2

from agents import publishing, record
from agents.chunk import Chunk
from agents.core import Core, Outcome
from agents.decoding import Limits, decode_admission, parse_time_ms
from agents.exits import Exit, end_process
from agents.observer import ChunkReport, Observer, Status
from agents.outputs import utc
from agents.policy import Policy
from agents.record import UnknownSchemaError
from agents.rejection import Rejection
from agents.security import KafkaSecurity
from agents.sending import Outgoing, send
from agents.stream_app import StreamApp
from agents.table import StateTable
from agents.topics import Topics
from agents.transport import ChunkedConsumer
from models.stay_model import StayModel

__all__ = ["Worker", "WorkerConfig", "partition_of"]

_log = structlog.get_logger(__name__)
_STOP_SECONDS = 8.0  # a worker that was told to stop is gone within 10 s
_HEARTBEAT_SECONDS = 1.0
_LOOP_STUCK_SECONDS = 30.0
_DAY_MS = 86_400_000
_GC_THRESHOLDS = (100_000, 20, 100)  # the collector took 8 % of a loaded worker at the defaults


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs of the configuration."""

    bootstrap_servers: str
    group: str
    instance: str
    topics: Topics
    partitions: int
    data_dir: Path
    limits: Limits = field(default_factory=Limits)
    replication_factor: int = 1
    security: KafkaSecurity = field(default_factory=KafkaSecurity)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that the Java, aiokafka and kafka-python clients give a key (murmur2)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class Worker:
    """Runs one model under one policy over the partitions that the consumer group gives it."""

    def __init__(self, config: WorkerConfig, model: StayModel, policy: Policy, observer: Observer) -> None:
        self._config = config
        self._observer = observer
        self._core = Core(
            model, policy, config.limits, right_partition=lambda key: partition_of(key, config.partitions)
        )
        self._ward: dict[bytes, tuple[bool, bool, bool]] = {}  # watched, assessable, alert open
        self._lag_of: set[int] = set()
        self._started = time.monotonic()
        self._beat = time.monotonic()
        self._ready = False
        self.app: StreamApp | None = None
        self._states: StateTable

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
        return Status(live=live, ready=not failing, failing=tuple(failing))

    async def _run(self) -> Exit:
        app = self.app = self._build()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        beating = asyncio.create_task(self._keep_beating())
        starting = asyncio.create_task(app.start())
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if app.crashed or (starting.done() and starting.exception()):
                    reason = app.crash_reason if app.crashed else starting.exception()
                    end_process(Exit.STREAM_FAILED, f"the stream engine stopped: {type(reason).__name__}: {reason}")
                await asyncio.wait({stopping}, timeout=0.2)
            _log.info("worker_stopping")
            try:
                await asyncio.wait_for(app.stop(), _STOP_SECONDS)
            except TimeoutError:
                end_process(Exit.NOT_DRAINED, "the broker did not take the last writes in time")
        finally:
            beating.cancel()
            starting.cancel()
        _log.info("worker_stopped")
        return Exit.DRAINED

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
            broker_session_timeout=10.0,
            broker_heartbeat_interval=3.0,
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
            version=record.source_offset,
            recovered=self._on_recovered,
            extra_topic_configs={"cleanup.policy": "compact", "min.compaction.lag.ms": str(_DAY_MS)},
        )
        logs = app.chunked_topic(config.topics.observations, config.partitions)
        admissions = app.chunked_topic(config.topics.admissions, config.partitions)
        app.agent(logs, name="watch")(self._agent(self._work_off))
        app.agent(admissions, name="append")(self._agent(self._append))
        return app

    def _agent(self, handle: Any) -> Any:
        async def agent(stream: Any) -> None:
            async for event in stream.noack().events():
                try:
                    await handle(event)
                except asyncio.CancelledError:
                    raise
                except UnknownSchemaError as error:
                    end_process(Exit.NEWER_STATE, str(error))
                except Exception as error:  # noqa: BLE001 (the one boundary: nothing half done may be committed)
                    _log.exception("chunk_failed")
                    end_process(Exit.STREAM_FAILED, f"a chunk could not be worked off: {type(error).__name__}")

        return agent

    # -- the agents

    async def _work_off(self, event: Any) -> None:
        message, chunk, topics = event.message, event.value, self._config.topics
        started = time.perf_counter()
        outcome = self._core.process(message.partition, chunk.records, self._states.stored)
        published_at = utc(round(time.time() * 1000))
        alerts = [msgspec.structs.replace(alert, published_at=published_at) for _, alert in outcome.alerts]
        await self._publish(
            message.partition,
            {
                topics.rejected: self._rejected(chunk.records, outcome.rejected),
                topics.alert_events: publishing.alert_records(alerts),
                topics.alert_state: publishing.alert_state_records(alerts),
                topics.scores: publishing.score_records(outcome.scores),
            },
        )
        acknowledged = time.time()
        await self._confirm_ownership(message, chunk)
        if outcome.states:
            await self._states.put(message.partition, outcome.states)
        self._finish(event)
        for key, state in outcome.states.items():
            self._ward[key] = record.census(state)
        self._report(chunk.records, outcome, acknowledged, time.perf_counter() - started)

    async def _append(self, event: Any) -> None:
        """Check admission events and append them to their patients' logs, in order.

        Their offsets are committed only once the append is acknowledged: a replay waits for that to order its stream.
        """
        message, chunk, config = event.message, event.value, self._config
        appended: list[Outgoing] = []
        rejected: list[tuple[int, Rejection]] = []
        for i, said in enumerate(chunk.records):
            if said.value is None:
                continue  # a tombstone purges the topic; it says nothing of the stay
            change = decode_admission(said.key, said.value, said.headers, said.timestamp, config.limits)
            if isinstance(change, Rejection):
                rejected.append((i, change))
            elif partition_of(said.key, config.partitions) != message.partition:
                detail = "the key's murmur2 partition is another: set the producer's partitioner to murmur2"
                rejected.append((i, Rejection("wrong_partition", detail)))
            else:
                appended.append(
                    publishing.appended_record(change, config.topics.admissions, message.partition, said.offset)
                )
        await self._publish(
            message.partition,
            {config.topics.rejected: self._rejected(chunk.records, rejected), config.topics.observations: appended},
        )
        self._finish(event)
        reasons = Counter(rejection.reason for _, rejection in rejected)
        self._observer.chunk_done(ChunkReport(records=len(chunk.records), rejected=reasons))

    @property
    def _consumer(self) -> ChunkedConsumer:
        return cast(ChunkedConsumer, cast(Any, self.app).consumer)

    def _finish(self, event: Any) -> None:
        self._consumer.finish(event.value)
        event.ack()

    async def _publish(self, partition: int, records: Mapping[str, list[Outgoing]]) -> None:
        await asyncio.gather(*(send(self.app, topic, partition, some) for topic, some in records.items() if some))

    async def _confirm_ownership(self, message: Any, chunk: Chunk) -> None:
        if not await self._consumer.confirm_ownership(message, chunk):
            end_process(Exit.NOT_OWNER, f"partition {message.partition} may belong to another worker now")

    @staticmethod
    def _rejected(records: Any, rejected: Iterable[tuple[int, Rejection]]) -> list[Outgoing]:
        return [publishing.rejected_record(records[i], rejection) for i, rejection in rejected]

    # -- what the service around it is told

    def _report(self, records: Any, outcome: Outcome, acknowledged: float, seconds: float) -> None:
        now_ms = acknowledged * 1000
        newest = {score.source.offset for score in outcome.scores}
        self._observer.chunk_done(
            ChunkReport(
                records=len(records),
                accepted=outcome.accepted,
                repeated=outcome.repeated,
                superseded=outcome.superseded,
                rejected=Counter(rejection.reason for _, rejection in outcome.rejected),
                steps_closed=outcome.steps_closed,
                risks=outcome.risks,
                alerts=Counter((alert.kind, alert.transition, alert.priority) for _, alert in outcome.alerts),
                state_resets=outcome.state_resets,
                model_seconds=outcome.model_seconds,
                seconds=seconds,
                append_to_alert_seconds=tuple((now_ms - records[i].timestamp) / 1000 for i, _ in outcome.alerts),
                time_to_alert_seconds=tuple(
                    (now_ms - (parse_time_ms(alert.occurred_at) or now_ms)) / 1000 for _, alert in outcome.alerts
                ),
                append_to_risk_seconds=tuple(
                    (now_ms - item.timestamp) / 1000 for item in records if item.offset in newest
                ),
            )
        )
        for i, alert in outcome.alerts:
            _log.info(
                f"alert_{alert.transition}",
                alert_id=alert.alert_id,
                sequence=alert.sequence,
                kind=alert.kind,
                priority=alert.priority,
                partition=records[i].partition,
                offset=records[i].offset,
            )
        for reason, count in outcome.state_resets.items():
            _log.warning("state_reset", reason=reason, patients=count)

    def _on_recovered(self, partitions: set[int]) -> None:
        self._ward = {
            key: record.census(self._states.stored(key) or b"")
            for partition in partitions
            for key in self._states.keys_of(partition)
        }
        self._ready = True
        seconds = time.monotonic() - self._started
        _log.info("worker_ready", partitions=sorted(partitions), patients=len(self._ward), seconds=round(seconds, 2))
        self._observer.recovered(seconds, len(self._ward))

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            self._count_ward()
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    def _count_ward(self) -> None:
        watched = sum(state[0] for state in self._ward.values())
        assessable = sum(state[0] and state[1] for state in self._ward.values())
        self._observer.ward_counted(
            watched=watched,
            unassessable=watched - assessable,
            open_alerts=sum(state[2] for state in self._ward.values()),
            state_bytes=len(self._ward) * self._core.layout.record_bytes,
        )
        if self.app is None or not self.app.started or not self._ready:
            return
        lag = self._consumer.lag()
        for partition in self._lag_of - lag.keys():
            self._observer.lag_measured(partition, -1)
        for partition, records in lag.items():
            self._observer.lag_measured(partition, records)
        self._lag_of = set(lag)
