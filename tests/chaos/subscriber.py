"""A pager that reads alerts while everything else breaks, with a client that is not the product's."""

from __future__ import annotations

import threading

from confluent_kafka import TopicPartition

from tests.chaos.evidence import Record, consumer, to_record

__all__ = ["Subscriber"]


class Subscriber:
    """Reads a topic from its beginning in a thread of its own, and keeps the order in which the records came."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.seen: list[Record] = []
        self._client = consumer(bootstrap)
        self._client.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def has(self, records: int) -> bool:
        """Tell whether it has read at least so many."""
        return len(self.seen) >= records

    def places(self) -> set[tuple[int, int]]:
        """Return the partitions and offsets of what it has read."""
        return {(record.partition, record.offset) for record in list(self.seen)}

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._client.consume(500, timeout=0.1):
                if message.error() is None:
                    self.seen.append(to_record(message))
