"""The practical limit of Python: a plain loop of the same work, without a stream engine.

    python -m monitor.bench.plain_loop BOOTSTRAP TOPICS_PREFIX OUT_PREFIX PARTITIONS MODEL POLICY UNTIL

It consumes the observations with confluent-kafka, works them off with the product's own core, writes alerts, scores,
refusals and the states with their source offset, waits for the acknowledgements, and commits: the same order of writes.
What it leaves out is what makes a service of it: a group with take-over, recovery, admissions, commands, the wall
clock, metrics. It ends when it has committed UNTIL records, or runs on with 0; then SIGTERM ends it. A line of JSON
says what it took, from the first batch that was committed to the last, as a worker is measured: CPU seconds of all its
threads, and the records of that time. Where there is one batch alone, from its arrival.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from agents import publishing
from agents.chunk import LARGEST_CHUNK
from agents.core import Core
from agents.decoding import Limits
from agents.policy import load_policy
from agents.sending import Outgoing
from agents.topics import Topics
from models.artifact import load_model
from monitor.bench.core_cost import LoggedRecord

__all__ = ["main"]

_FETCH = 8_000  # records
_WAIT_SECONDS = 0.01  # the clients' own default of a fetch that waits for more
_GC_THRESHOLDS = (100_000, 20, 100)  # as the worker's
_ARGUMENTS = 7


@dataclass(frozen=True)
class _Mark:
    """A moment of the loop."""

    at: float  # monotonic clock, seconds
    cpu_seconds: float
    done: int  # records

    @classmethod
    def now(cls, done: int) -> _Mark:
        return cls(time.monotonic(), time.process_time(), done)

    def to(self, end: _Mark) -> dict[str, float]:
        """Return what was done and taken since."""
        return {
            "events": end.done - self.done,
            "seconds": end.at - self.at,
            "cpu_seconds": end.cpu_seconds - self.cpu_seconds,
        }


@dataclass
class _Loop:
    bootstrap: str
    source: str  # topic
    out: Topics
    partitions: int
    core: Core
    states: dict[bytes, bytes] = field(default_factory=dict)
    stopping: bool = False

    def run(self, until: int) -> dict[str, float]:
        """Work records off until so many are done, or `stopping` is set; return what that took."""
        consumer, producer = self._clients()
        began = last = _Mark.now(0)
        try:
            while not self.stopping and (not until or last.done < until):
                messages = consumer.consume(_FETCH, _WAIT_SECONDS)
                if not messages:
                    continue
                is_first = not last.done
                if is_first:
                    began = _Mark.now(0)
                self._work_off(messages, producer)
                consumer.commit(offsets=_ends(messages), asynchronous=False)
                last = _Mark.now(last.done + len(messages))
                if is_first and (not until or last.done < until):
                    began = last
        finally:
            consumer.close()
        return began.to(last)

    def _clients(self) -> tuple[Any, Any]:
        """Return a consumer of all partitions, and a producer."""
        import confluent_kafka as kafka  # noqa: PLC0415 (only a baseline needs it)

        consumer = kafka.Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{self.out.prefix}plain",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": round(_WAIT_SECONDS * 1000),
                "queued.max.messages.kbytes": 65_536,
            }
        )
        producer = kafka.Producer(
            {"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 0, "batch.size": 700_000}
        )
        consumer.assign([kafka.TopicPartition(self.source, number, 0) for number in range(self.partitions)])
        return consumer, producer

    def _work_off(self, messages: list[Any], producer: Any) -> None:
        """Work messages off; when this returns, the broker has acknowledged what came of them."""
        by_partition: dict[int, list[LoggedRecord]] = defaultdict(list)
        for each in messages:
            if each.error():
                raise RuntimeError(each.error().str())
            by_partition[each.partition()].append(_logged(each))
        for partition, records in by_partition.items():
            for begin in range(0, len(records), LARGEST_CHUNK):
                self._chunk(partition, records[begin : begin + LARGEST_CHUNK], producer)

    def _chunk(self, partition: int, records: list[LoggedRecord], producer: Any) -> None:
        outcome = self.core.process(partition, records, self.states.get)
        alerts = [alert for _, alert in outcome.alerts]
        refused = [publishing.rejected_record(records[i], rejection) for i, rejection in outcome.rejected]
        self._send(producer, self.out.alert_events, partition, publishing.alert_records(alerts))
        self._send(producer, self.out.alert_state, partition, publishing.alert_state_records(alerts))
        self._send(producer, self.out.scores, partition, publishing.score_records(outcome.scores))
        self._send(producer, self.out.rejected, partition, refused)
        producer.flush()
        self._send(producer, changelog_of(self.out), partition, [(k, v, ()) for k, v in outcome.states.items()])
        producer.flush()
        outcome.store_in(self.states)

    @staticmethod
    def _send(producer: Any, topic: str, partition: int, records: list[Outgoing]) -> None:
        for key, value, headers in records:
            while True:
                try:
                    producer.produce(topic, value, key, partition, headers=list(headers))
                    break
                except BufferError:  # the client's queue is full
                    producer.poll(0.01)


def _ends(messages: list[Any]) -> list[Any]:
    """Return by partition the offset to go on from."""
    from confluent_kafka import TopicPartition  # noqa: PLC0415

    ends = {(each.topic(), each.partition()): each.offset() + 1 for each in messages}
    return [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]


def _logged(message: Any) -> LoggedRecord:
    return LoggedRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers() or (),
    )


def changelog_of(topics: Topics) -> str:
    """Return the name of the loop's topic of states."""
    return f"{topics.prefix}plain-changelog"


def main(arguments: list[str]) -> int:
    """Run the loop, print what it took, and return the exit code."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write(
            "Usage: python -m monitor.bench.plain_loop "
            "BOOTSTRAP TOPICS_PREFIX OUT_PREFIX PARTITIONS MODEL POLICY UNTIL\n"
        )
        return 2
    bootstrap, prefix, out, partitions, model, policy, until = arguments
    gc.set_threshold(*_GC_THRESHOLDS)
    core = Core(load_model(model), load_policy(policy or None), Limits())
    loop = _Loop(bootstrap, Topics(prefix).observations, Topics(out), int(partitions), core)

    def stop(*_: object) -> None:
        loop.stopping = True

    signal.signal(signal.SIGTERM, stop)
    sys.stdout.write(json.dumps(loop.run(int(until))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
