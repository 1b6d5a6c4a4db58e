"""The table's version rule: of each key's changelog records, the one that has seen most of its log wins."""

from __future__ import annotations

import asyncio
import zlib
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from faust.types.tuples import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.checking import Headers
from agents.exits import Exit
from agents.record import RECORD_SCHEMA, check_schema, source_offset
from agents.sending import Outgoing
from agents.stream_app import StreamApp
from agents.table import StateTable
from tests.agents.logs import START, new_core, numbered, observation, work_off

PARTITION = TP("changelog", 0)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> StreamApp:
    """Return an app that is never started: its tables live in memory and need no broker."""
    folder: Path = tmp_path_factory.mktemp("faust")
    return StreamApp("table-test", bootstrap_servers="127.0.0.1:1", store="memory://", datadir=str(folder))


@pytest.fixture
def table(app: StreamApp) -> StateTable:
    return new_table(app)


async def nothing(partitions: set[int]) -> None:
    """Do nothing once the partitions are back."""


class Message(NamedTuple):
    """A record of the changelog as Faust has it."""

    tp: TP
    offset: int
    key: bytes
    value: bytes | None
    headers: Headers


def new_table(app: StreamApp, prefix: str = "") -> StateTable:
    app.tables.clear()
    return StateTable(
        app,
        prefix=prefix,
        record_bytes=len(state(0)),
        version=lambda _, record: source_offset(record),
        check=check_schema,
        recovered=nothing,
        name="patients",
        partitions=1,
    )


def state(version: int, writer: int = 0, schema: int = RECORD_SCHEMA) -> bytes:
    """Return a record of the given source offset; `writer` tells two of the same offset apart."""
    prefix, content = (
        schema.to_bytes(2, "little") + b"\0\0",
        version.to_bytes(8, "little") + writer.to_bytes(4, "little"),
    )
    return prefix + zlib.crc32(content, zlib.crc32(prefix)).to_bytes(4, "little") + content


class Row(NamedTuple):
    """A record of the changelog."""

    offset: int
    key: bytes
    value: bytes | None
    headers: Headers = ()


def seen(offset: int, key: bytes, up_to: int) -> Row:
    """Return a deletion that has seen the patient's log up to an offset."""
    return Row(offset, key, None, (("seen", str(up_to).encode()),))


def test_the_version_is_the_source_offset_of_a_real_record(table: StateTable) -> None:
    older = work_off(numbered([observation("p", START, heart_rate=80)], first=5)).states[b"p"]
    newer = work_off(numbered([observation("p", START, heart_rate=80)], first=6)).states[b"p"]
    table.take_over(PARTITION, [Row(0, b"p", newer), Row(1, b"p", older)])
    assert table.stored(b"p") == newer
    assert new_core().layout.load([b"p"], [table.stored(b"p")]).rows["offset"].tolist() == [6]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([b"p", b"q"]), st.integers(0, 5)), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), max_size=3),
)
def test_the_highest_source_offset_wins_whatever_the_order_and_the_batches(
    app: StreamApp, written: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    table = new_table(app)
    rows = [Row(place, key, state(version, place)) for place, (key, version) in enumerate(written)]
    bounds = [0, *sorted(cuts), len(rows)]
    for start, end in pairwise(bounds):
        table.take_over(PARTITION, rows[start:end])
    stale = set()
    for key in {key for key, _ in written}:
        own = [(version, place) for place, (name, version) in enumerate(written) if name == key]
        best, place = max(own)  # of equal ones the later
        assert table.stored(key) == state(best, place)
        if own[-1][0] < best:
            stale.add(key)
    assert set(table._stale) == stale
    assert {key for key, _ in table.items_of(0)} == {key for key, _ in written}


def test_the_prefix_goes_before_the_changelog_too(app: StreamApp) -> None:
    assert new_table(app).changelog_topic_name == "table-test-patients-changelog"
    assert new_table(app, "icu-7.").changelog_topic_name == "icu-7.table-test-patients-changelog"


def test_a_deletion_counts_whatever_was_before(table: StateTable) -> None:
    table.take_over(PARTITION, [Row(0, b"p", state(9)), Row(1, b"p", None)])
    assert table.stored(b"p") is None
    table.take_over(PARTITION, [Row(2, b"p", state(3))])
    assert table.stored(b"p") == state(3)


def test_a_damaged_record_never_wins(table: StateTable) -> None:
    """Its offset cannot be believed: it may stand over every later record, or be no offset at all."""
    sound = work_off(numbered([observation("p", START, heart_rate=80)], first=5)).states[b"p"]
    for damaged in (b"", sound[:10], sound[:14] + b"\xff" + sound[15:]):
        table.take_over(PARTITION, [Row(0, b"p", sound), Row(1, b"p", damaged)])
        assert table.stored(b"p") == sound
        assert set(table._stale) == {b"p"}
    table.take_over(PARTITION, [Row(2, b"q", sound[:14] + b"\xff" + sound[15:])])
    table.take_over(PARTITION, [Row(3, b"q", sound)])
    assert table.stored(b"q") == sound


def test_unknown_patients_and_partitions_are_empty(table: StateTable) -> None:
    assert table.stored(b"nobody") is None
    assert list(table.items_of(7)) == []


def test_a_recovery_tells_how_far_it_has_come(app: StreamApp) -> None:
    table = new_table(app)
    table.take_over(PARTITION, [Row(at, key, state(at)) for at, key in enumerate([b"p", b"q", b"p"])])
    assert (table.held, table.recovered_bytes) == (2, 3 * len(state(0)))
    table.take_over(PARTITION, [Row(3, b"r", state(3)), Row(4, b"q", None)])
    assert table.recovered_bytes == 4 * len(state(0))


def test_what_is_put_as_nothing_leaves_no_trace(table: StateTable, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[bytes | None, bytes | None]] = []

    async def sending(_app: object, _topic: str, _partition: int, records: list[Outgoing]) -> list[int]:
        sent.extend((key, value) for key, value, _ in records)
        return [len(sent)]

    monkeypatch.setattr("agents.table.send", sending)
    asyncio.run(table.put(0, {b"p": state(4), b"q": state(5)}))
    asyncio.run(table.put(0, {b"p": None}, 7))
    assert sent[2:] == [(b"p", None)]
    assert (table.stored(b"p"), list(table.items_of(0)), table.held) == (None, [(b"q", state(5))], 1)
    table.take_over(PARTITION, [Row(0, b"q", state(4))])  # what was put is the better one
    assert table.stored(b"q") == state(5)
    table.take_over(PARTITION, [Row(1, b"q", state(9)), Row(2, b"q", state(3)), Row(3, b"q", None)])
    assert (table.held, dict(table._stale)) == (0, {})
    table.take_over(PARTITION, [Row(4, b"q", None), Row(5, b"q", state(1))])
    assert table.stored(b"q") == state(1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=8), st.integers(0, 8))
def test_a_deletion_counts_by_what_it_has_seen(app: StreamApp, written: list[tuple[bool, int]], cut: int) -> None:
    """A worker that was thought dead may write that nothing is kept of a patient who has come back meanwhile."""
    table = new_table(app)
    rows = [
        seen(at, b"p", version) if gone else Row(at, b"p", state(version, at))
        for at, (gone, version) in enumerate(written)
    ]
    table.take_over(PARTITION, rows[:cut])
    table.take_over(PARTITION, rows[cut:])
    place = max(range(len(written)), key=lambda at: (written[at][1], at))  # of equal ones the later
    assert table.stored(b"p") == rows[place].value
    assert set(table._stale) == (set() if place == len(written) - 1 or written[-1][1] == written[place][1] else {b"p"})


def test_what_faust_hands_on_once_more_counts_once(table: StateTable) -> None:
    """The last record of each fetch comes by Faust's own way, too, at the end of the recovery."""
    table.take_over(PARTITION, [Row(0, b"p", state(9)), Row(1, b"p", None)])
    table.take_over(PARTITION, [Row(2, b"p", state(900)), Row(3, b"q", state(5))])
    again = [Row(1, b"p", None), Row(3, b"q", state(5))]
    table.apply_changelog_batch(SimpleNamespace(message=Message(PARTITION, *row)) for row in again)
    assert (table.stored(b"p"), table.stored(b"q")) == (state(900), state(5))
    table.apply_changelog_batch([SimpleNamespace(message=Message(PARTITION, *Row(4, b"q", state(6))))])
    assert table.stored(b"q") == state(6)


class Settling:
    """Sends what a table settles, as slowly as a test wants, and notes which partitions are said to be back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[Outgoing] = []
        self.back: list[set[int]] = []
        self.go = asyncio.Event()
        self.go.set()
        monkeypatch.setattr("agents.table.send", self._send)

    async def _send(self, _app: object, _topic: str, _partition: int, records: list[Outgoing]) -> list[int]:
        if records:
            await self.go.wait()
        self.sent += records
        return [0]

    async def recovered(self, partitions: set[int]) -> None:
        """Note it."""
        self.back.append(partitions)


def test_the_best_is_written_again_where_a_worse_one_stands_last(
    app: StreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling, table = Settling(monkeypatch), new_table(app)
    table._recovered = settling.recovered
    table.take_over(PARTITION, [Row(0, b"p", state(9)), Row(1, b"p", state(3)), Row(2, b"q", state(4))])
    table.take_over(PARTITION, [seen(3, b"r", 8), Row(4, b"r", state(7)), Row(5, b"s", b"damaged")])
    asyncio.run(table.on_recovery_completed({PARTITION}, set()))
    assert sorted(settling.sent) == [(b"p", state(9), ()), (b"r", None, (("seen", b"8"),))]
    assert settling.back == [{0}]
    assert (table.stored(b"r"), table._stale, table._best) == (None, {}, {})


def test_a_recovery_that_was_overtaken_says_nothing(app: StreamApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust lets its callback go on when the partitions are assigned anew while it waits for the broker."""
    settling, table = Settling(monkeypatch), new_table(app)
    table._recovered = settling.recovered
    another = TP("changelog", 1)

    async def run() -> None:
        settling.go.clear()
        table.take_over(PARTITION, [Row(0, b"p", state(9)), Row(1, b"p", state(3))])
        first = asyncio.create_task(table.on_recovery_completed({PARTITION}, set()))
        await asyncio.sleep(0)
        app.consumer_generation_id += 1
        table.take_over(another, [Row(0, b"q", state(5))])
        await table.on_recovery_completed({another}, set())
        settling.go.set()
        await first

    asyncio.run(run())
    assert settling.back == [{1}]
    assert table.stored(b"p") is None


def test_a_record_of_another_schema_ends_the_worker_before_anything_is_written(
    app: StreamApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling, table = Settling(monkeypatch), new_table(app)
    table._recovered = settling.recovered
    ends: list[Exit] = []

    def end(code: Exit, _: str) -> None:
        ends.append(code)

    monkeypatch.setattr("agents.table.end_process", end)
    newer = RECORD_SCHEMA + 1
    table.take_over(PARTITION, [Row(0, b"p", state(9)), Row(1, b"p", state(3)), Row(2, b"q", state(4, schema=newer))])
    asyncio.run(table.on_recovery_completed({PARTITION}, set()))
    assert (ends, settling.sent, settling.back) == ([Exit.OTHER_SCHEMA], [], [])
