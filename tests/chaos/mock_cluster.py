"""librdkafka's mock cluster: brokers in memory whose round trips and answers can be set one by one.

It comes with the confluent-kafka wheel and is driven through ctypes. It speaks enough of the protocol for a worker
(groups, idempotent writes), and nothing for administration: topics are made here, and positions are asked for with
confluent-kafka. It has no disk and keeps 5 MB of a partition. Sequence numbers it checks in transactions only:
see `ONE_AT_A_TIME`.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import confluent_kafka

__all__ = ["APIS", "ONE_AT_A_TIME", "MockCluster"]

APIS = {  # Kafka's numbers of the requests that a worker sends
    "Produce": 0,
    "Fetch": 1,
    "ListOffsets": 2,
    "Metadata": 3,
    "OffsetCommit": 8,
    "OffsetFetch": 9,
    "FindCoordinator": 10,
    "JoinGroup": 11,
    "Heartbeat": 12,
    "SyncGroup": 14,
    "InitProducerId": 22,
}
# For librdkafka's own producers. A broker that has refused a write also refuses those after it, by their sequence
# numbers, until the first has come again; the mock appends them, except in transactions. The client concludes that the
# refused records must be there, and tells of their delivery, without an offset, though no log has them. No one error in
# a script is at fault: each does it where a second write to the partition is under way. So there must be none.
ONE_AT_A_TIME: Mapping[str, int] = {"max.in.flight.requests.per.connection": 1}
_NODES = 3
_PRODUCER = 0
_WORD = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "rd_kafka_conf_new": (_WORD, []),
    "rd_kafka_conf_set": (ctypes.c_int, [_WORD, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_new": (_WORD, [ctypes.c_int, _WORD, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_mock_cluster_new": (_WORD, [_WORD, ctypes.c_int]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [_WORD]),
    "rd_kafka_mock_cluster_destroy": (None, [_WORD]),
    "rd_kafka_destroy": (None, [_WORD]),
    "rd_kafka_mock_topic_create": (ctypes.c_int, [_WORD, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_partition_set_leader": (ctypes.c_int, [_WORD, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]),
    "rd_kafka_mock_coordinator_set": (ctypes.c_int, [_WORD, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_rtt": (ctypes.c_int, [_WORD, ctypes.c_int32, ctypes.c_int]),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, [_WORD, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, [_WORD, ctypes.c_int32]),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [_WORD, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
    "rd_kafka_mock_start_request_tracking": (None, [_WORD]),
    "rd_kafka_mock_stop_request_tracking": (None, [_WORD]),
    "rd_kafka_mock_get_requests": (ctypes.POINTER(_WORD), [_WORD, ctypes.POINTER(ctypes.c_size_t)]),
    "rd_kafka_mock_request_api_key": (ctypes.c_int16, [_WORD]),
    "rd_kafka_mock_request_destroy_array": (None, [ctypes.POINTER(_WORD), ctypes.c_size_t]),
    "rd_kafka_mock_clear_request_errors": (None, [_WORD, ctypes.c_int16]),
}


def _library() -> ctypes.CDLL:
    """Return the wheel's librdkafka. Raises OSError where confluent-kafka does not come with one of its own."""
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    found = sorted(folder.glob("librdkafka*"))
    if not found:
        msg = "this confluent-kafka brings no librdkafka of its own"
        raise OSError(msg)
    library = ctypes.CDLL(str(found[0]))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """Three brokers in this process; has the life of one."""

    def __init__(self) -> None:
        self._library = _library()
        self._client: int | None = None
        self._cluster: int | None = None
        self._script: dict[str, list[int]] = {}  # what requests are answered with, since `heal`
        self.bootstrap_servers = ""

    def start(self) -> None:
        """Start the brokers, or let them answer again."""
        if self._cluster is None:
            reason = ctypes.create_string_buffer(512)
            options = self._library.rd_kafka_conf_new()
            self._library.rd_kafka_conf_set(options, b"log_level", b"0", reason, len(reason))
            self._client = self._library.rd_kafka_new(_PRODUCER, options, reason, len(reason))
            assert self._client, reason.value
            self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, _NODES)
            self.bootstrap_servers = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        for node in range(1, _NODES + 1):
            self._call("broker_set_up", node)

    def kill(self) -> None:
        """Cut all connections, and take no new ones; what is there is kept in memory."""
        for node in range(1, _NODES + 1):
            self._call("broker_set_down", node)

    def stop(self) -> None:
        """End the brokers, and forget everything."""
        if self._cluster is not None:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._cluster = self._client = None

    def make_topics(self, names: Sequence[str], partitions: int) -> None:
        """Create topics, the partitions spread over the brokers."""
        for name in names:
            self._call("topic_create", name.encode(), partitions, 1)

    def lead(self, topic: str, partition: int, node: int) -> None:
        """Let a broker (1 to 3) lead a partition."""
        self._call("partition_set_leader", topic.encode(), partition, node)

    def coordinate(self, group: str, node: int) -> None:
        """Let a broker (1 to 3) coordinate a group."""
        self._call("coordinator_set", b"group", group.encode(), node)

    def slow(self, node: int, milliseconds: int) -> None:
        """Let each answer of a broker take so long; those on one connection wait for each other."""
        self._call("broker_set_rtt", node, milliseconds)

    def refuse(self, api: str, codes: Sequence[int]) -> None:
        """Answer the next requests of a kind with these error codes, one each; 0 lets one pass."""
        if not self._script:
            self._library.rd_kafka_mock_start_request_tracking(self._cluster)
        self._script.setdefault(api, []).extend(codes)
        array = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, APIS[api], len(codes), array)

    def refused(self) -> tuple[int, int]:
        """Return how many requests were refused since the first script, and how many are to be in all."""
        came = self._came() if self._script else Counter[int]()
        taken = sum(code != 0 for api, codes in self._script.items() for code in codes[: came[APIS[api]]])
        return taken, sum(code != 0 for codes in self._script.values() for code in codes)

    def _came(self) -> Counter[int]:
        """Return how many requests of each kind, by its number, came since the first script."""
        count = ctypes.c_size_t()
        requests = self._library.rd_kafka_mock_get_requests(self._cluster, ctypes.byref(count))
        try:
            kind_of = self._library.rd_kafka_mock_request_api_key
            return Counter(kind_of(requests[number]) for number in range(count.value))
        finally:
            self._library.rd_kafka_mock_request_destroy_array(requests, count)

    def heal(self) -> None:
        """Refuse nothing any more, and answer at once."""
        self._script.clear()
        self._library.rd_kafka_mock_stop_request_tracking(self._cluster)
        for number in APIS.values():
            self._library.rd_kafka_mock_clear_request_errors(self._cluster, number)
        for node in range(1, _NODES + 1):
            self.slow(node, 0)

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, f"rd_kafka_mock_{name}")(self._cluster, *arguments)
        assert code == 0, f"{name}{arguments}: error {code}"
