"""The state record of a patient: one row of a fixed layout, as it stands in the changelog and in the worker's store.

The layout is a NumPy structured type, so that the states of a whole chunk are one array and a record is a row's bytes.
Every record carries its schema version, the patient's id, the source offset up to which it holds, the model that made
its hidden state, and a checksum: a damaged record, or one under another patient's key, is found and costs that
patient alone.

Of a patient whose last stay ended long ago a stub remains: what later records are judged by, under its own offset, so
that no older record can bring the stay back. It goes, by the log, once the log holds nothing of the patient any more.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.episodes import KINDS
from agents.open_step import SLOTS
from models.stay_model import StayModel
from models.vital_signs import N_VITAL_SIGNS

__all__ = [
    "HEAD",
    "RECORD_SCHEMA",
    "RESET_REASONS",
    "STUB",
    "Loaded",
    "RecordLayout",
    "Rows",
    "UnknownSchemaError",
    "check_schema",
    "heads",
    "holds_id",
    "note_id",
    "sealed",
    "source_offset",
    "stub_offset",
    "unsealed",
    "version",
]

RECORD_SCHEMA = 3
SEEN_EVENTS = 8
SEEN_COMMANDS = 4
RESET_REASONS = (
    "damaged",
    "foreign_key",
    "model_changed",
    "not_finite",
)  # why a stored state, or its hidden part, starts anew
Rows = NDArray[Any]  # structured, one row a patient, dtype RecordLayout.dtype

_PREFIX = struct.Struct("<HHIq")  # schema, reserved, checksum, source offset
_OWNER = slice(_PREFIX.size, _PREFIX.size + 64)  # the field `key`
_PATIENT_KEY = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_IS_STUB = 1
_IS_GONE = 2  # nothing of the patient is to be kept; only while a chunk is worked off
_SCHEMA = struct.pack("<H", RECORD_SCHEMA)  # the field `schema`
_CHECKED_FROM = 8  # the checksum covers what follows it
_BEGINNING = zlib.crc32(struct.pack("<HH", RECORD_SCHEMA, 0))  # and what stands before it: this, in a whole record


class UnknownSchemaError(Exception):
    """A record was written by a version of the service with another layout: this one must not touch it."""


def source_offset(record: bytes) -> int:
    """Return the offset in the observations topic of the last log record that went into this state record."""
    if len(record) < _PREFIX.size:
        return -1
    _, _, checksum, offset = _PREFIX.unpack_from(record)
    return int(offset) if _checksum(record) == checksum else -1


def stub_offset(record: bytes) -> int:
    """Return the source offset of a stub; -1 of any other record, and of one that is damaged."""
    return source_offset(record) if len(record) == STUB.itemsize else -1


def version(key: bytes, record: bytes) -> int:
    """Return the source offset of a record that stands under a key; -1 where it is damaged or another patient's."""
    owner = record[_OWNER].rstrip(b"\0")
    return source_offset(record) if owner == key or not _PATIENT_KEY.fullmatch(key) else -1


def check_schema(record: bytes) -> None:
    """Raise UnknownSchemaError for a sound record of another schema: this version must not even look at it."""
    if len(record) < _PREFIX.size or record.startswith(_SCHEMA):
        return
    if source_offset(record) >= 0:
        raise _unknown(_PREFIX.unpack_from(record)[0])


def _unknown(schema: int) -> UnknownSchemaError:
    return UnknownSchemaError(
        f"a state record has schema {schema}, this version knows {RECORD_SCHEMA}: run the version that wrote it"
    )


def _checksum(record: bytes) -> int:
    return zlib.crc32(record[_CHECKED_FROM:], zlib.crc32(record[:4]))


def _checksums(records: bytes | bytearray, size: int) -> list[int]:
    """Return the checksums of whole records of this version, of one size, that stand one after the other."""
    view, crc = memoryview(records), zlib.crc32
    return [crc(view[start + _CHECKED_FROM : start + size], _BEGINNING) for start in range(0, len(records), size)]


def sealed(content: bytes, offset: int) -> bytes:
    """Return a record that holds other content than a patient's state, up to a source offset."""
    return _with_checksum(_PREFIX.pack(RECORD_SCHEMA, 0, 0, offset) + content)


def unsealed(record: bytes) -> bytes | None:
    """Return the content of a sealed record; None where it is damaged."""
    return record[_PREFIX.size :] if source_offset(record) >= 0 else None


def _with_checksum(record: bytes) -> bytes:
    return record[:4] + struct.pack("<I", _checksum(record)) + record[_CHECKED_FROM:]


def _fingerprint_of(name: str) -> int:
    """Return what the record keeps of an event's id: 64 bits."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def holds_id(rows: Rows, row: int, ids: str, name: str) -> bool:
    """Tell whether an event's id is among the latest ones that the row keeps in its field `ids`."""
    return bool((rows[ids][row] == np.uint64(_fingerprint_of(name))).any())


def note_id(rows: Rows, row: int, ids: str, name: str) -> None:
    """Keep an event's id in the row's field `ids`, newest first, in place of the oldest."""
    rows[ids][row, 1:] = rows[ids][row, :-1].copy()
    rows[ids][row, 0] = _fingerprint_of(name)


def heads(records: Sequence[bytes]) -> Rows:
    """Return what is the same in every layout of sound records, (N,), dtype `HEAD`."""
    return np.frombuffer(b"".join(record[: HEAD.itemsize] for record in records), HEAD)


@dataclass(frozen=True)
class Loaded:
    """The rows of a chunk's patients, and what had to be given up, by reason (never which patient)."""

    rows: Rows
    resets: Mapping[str, int]


class RecordLayout:
    """The record's layout for one model, and the way from bytes to rows and back."""

    def __init__(self, model: StayModel) -> None:
        self._model = model
        self._fingerprint = bytes.fromhex(model.digest.removeprefix("sha256:")[:16])
        self.dtype = np.dtype(_fields(model.state_dtype))

    @property
    def record_bytes(self) -> int:
        """Bytes of one record, however long the stay."""
        return self.dtype.itemsize

    def fresh(self, n: int) -> Rows:
        """Return rows of patients that were never seen."""
        rows: Rows = np.zeros(n, self.dtype)
        rows["schema"] = RECORD_SCHEMA
        rows["offset"] = -1
        rows["admissions_offset"] = rows["commands_offset"] = -1
        rows["model"] = np.void(self._fingerprint)
        rows["state"] = self._model.initial(n)
        rows["risk"] = rows["last_value"] = np.nan  # nothing was measured: an answer to a command says so
        return rows

    def load(self, keys: Sequence[bytes], stored: Sequence[bytes | None]) -> Loaded:
        """Return one row a key, from its stored record where there is a sound one.

        A damaged record is replaced by a fresh row. One of another model, or whose hidden state is not a number, keeps
        its stay and its alert, but its hidden state starts anew. Raises UnknownSchemaError for a record of another
        schema.
        """
        whole, rows = self._whole(keys, stored)
        resets: dict[str, int] = {}
        for i in np.flatnonzero(~whole).tolist():
            record = stored[i]
            if record is None:
                continue
            stub = self._stub(keys[i], record)
            if stub is not None:
                for name in STUB.names or ():
                    rows[name][i] = stub[name]
                continue
            problem = self._problem(keys[i], record)
            if problem is None:
                continue
            resets[problem] = resets.get(problem, 0) + 1
            if problem == "model_changed":
                self._adopt(rows[i : i + 1], record)
        for i in self._not_finite(rows):
            resets["not_finite"] = resets.get("not_finite", 0) + 1
            rows["state"][i : i + 1] = self._model.initial(1)
        return Loaded(rows, resets)

    def _whole(self, keys: Sequence[bytes], stored: Sequence[bytes | None]) -> tuple[NDArray[np.bool_], Rows]:
        """Return which records (N) are sound, of this version, model and key, and all rows: theirs or fresh ones."""
        size = self.dtype.itemsize
        names = np.array(keys, dtype=self.dtype["key"])
        mine = [i for i, record in enumerate(stored) if record is not None and len(record) == size]
        joined = bytearray().join(stored[i] or b"" for i in mine)
        found = np.frombuffer(joined, self.dtype)
        sound = (found["schema"] == RECORD_SCHEMA) & (found["reserved"] == 0) & (found["key"] == names[mine])
        sound &= found["model"] == np.void(self._fingerprint)
        sound &= found["checksum"] == np.array(_checksums(joined, size), dtype=np.uint32)
        whole = np.zeros(len(keys), dtype=np.bool_)
        whole[mine] = sound
        if whole.all():
            return whole, found
        rows = self.fresh(len(keys))
        rows["key"] = names
        rows[whole] = found[sound]
        return whole, rows

    @staticmethod
    def _not_finite(rows: Rows) -> list[int]:
        """Return which rows have a hidden state that is not a number: every risk after it would be none either."""
        hidden = np.concatenate([rows["state"]["h"], rows["state"]["c"]], axis=1)
        bad: list[int] = np.flatnonzero(~np.isfinite(hidden).all(axis=1)).tolist()
        return bad

    def dump(self, rows: Rows) -> list[bytes]:
        """Return each row as a record with its checksum."""
        size = self.dtype.itemsize
        raw = bytearray(rows.tobytes())
        np.frombuffer(raw, self.dtype)["checksum"] = _checksums(raw, size)
        view = memoryview(raw)
        records = [bytes(view[start : start + size]) for start in range(0, len(raw), size)]
        for row in np.flatnonzero((rows["schema"] != RECORD_SCHEMA) | (rows["reserved"] != 0)).tolist():
            record = records[row]
            if rows["reserved"][row] == _IS_STUB:
                stub = np.zeros(1, STUB)
                for name in STUB.names or ():
                    stub[name] = rows[name][row]
                record = stub.tobytes()
            records[row] = _with_checksum(record)
        return records

    def problem(self, key: bytes, record: bytes) -> str | None:
        """Return why a record that stands under a key cannot be used as it is (RESET_REASONS); None where it can.

        Raises UnknownSchemaError for a record of another schema.
        """
        if self._stub(key, record) is not None:
            return None
        found = self._problem(key, record)
        if found is None and self._not_finite(np.frombuffer(record, self.dtype)):
            return "not_finite"
        return found

    def forget(self, rows: Rows, row: int) -> None:
        """Leave of a row what a stub holds."""
        kept = rows[row : row + 1].copy()
        rows[row : row + 1] = self.fresh(1)
        for name in STUB.names or ():
            rows[name][row] = kept[name][0]
        rows["reserved"][row] = _IS_STUB

    def let_go(self, rows: Rows, row: int, log_begins: int) -> None:
        """Leave nothing of a row of whom no record at or after this offset is known, where no more than a stub was."""
        nothing = rows["offset"][row] < 0
        if nothing or (rows["reserved"][row] == _IS_STUB and rows["offset"][row] < log_begins):
            key = rows["key"][row]
            rows[row : row + 1] = self.fresh(1)
            rows["key"][row], rows["reserved"][row] = key, _IS_GONE

    @staticmethod
    def is_gone(rows: Rows) -> NDArray[np.bool_]:
        """Return of which rows (N,) nothing is to be kept."""
        return np.asarray(rows["reserved"] == _IS_GONE, dtype=np.bool_)

    @staticmethod
    def begin_anew(rows: Rows, index: NDArray[np.intp]) -> None:
        """Take rows of whom nothing is kept for those of patients who were never seen, as another chunk would."""
        rows["reserved"][index], rows["offset"][index] = 0, -1

    @staticmethod
    def _stub(key: bytes, record: bytes) -> Any:
        """Return the stub that a record is; None where it is none, or not a sound one of this version and this key."""
        if len(record) != STUB.itemsize or source_offset(record) < 0:
            return None
        stub = np.frombuffer(record, STUB, 1)[0]
        mine = stub["schema"] == RECORD_SCHEMA and stub["reserved"] == _IS_STUB and stub["key"] == key
        return stub if mine else None

    def _problem(self, key: bytes, record: bytes) -> str | None:
        if len(record) < _PREFIX.size:
            return "damaged"
        schema, _, checksum, _ = _PREFIX.unpack_from(record)
        if _checksum(record) != checksum:
            return "damaged"
        if schema != RECORD_SCHEMA:
            raise _unknown(schema)
        if len(record) < HEAD.itemsize:
            return "damaged"
        head = np.frombuffer(record, HEAD, 1)[0]
        if head["key"] != key:
            return "foreign_key"
        if head["model"].tobytes() != self._fingerprint or len(record) != self.dtype.itemsize:
            return "model_changed"
        return None

    def _adopt(self, row: Rows, record: bytes) -> None:
        """Keep the stay and the alert of another model's record: what is the same in every layout."""
        head = np.frombuffer(record, HEAD, 1)[0]
        for name in HEAD.names or ():
            row[name] = head[name]
        row["model"] = np.void(self._fingerprint)


_SIGNS, _KINDS = N_VITAL_SIGNS, len(KINDS)
# The fields of a record, in their order. Times are in epoch milliseconds; 0 = none, where nothing else is said.
_OWN: list[Any] = [
    ("schema", "<u2"),
    ("reserved", "<u2"),  # 1: a stub
    ("checksum", "<u4"),
    ("offset", "<i8"),
    ("key", "S64"),
    ("model", "V8"),
]
_STAY: list[Any] = [
    ("admissions_offset", "<i8"),
    ("seen", "<u8", (SEEN_EVENTS,)),  # fingerprints of the latest admission events, newest first
    ("stay_number", "<i4"),
    ("watched", "u1"),  # a stay is open
    ("announced", "u1"),  # by an admission event
    ("unit_type", "i1"),
    ("assessable", "u1"),
    ("doubt", "u1"),  # why it cannot be assessed: index of models.doubt.REASONS
    ("doubt_sign", "i1"),  # the vital sign that would settle it; -1 = none
    ("stay_id", "S80"),
    ("named", "S64"),  # its id in the ADT feed, where the alerts keep an older one
    ("unit", "S64"),
    ("bed", "S64"),
    ("start_ms", "<i8"),
    ("clock_ms", "<i8"),  # newest time of measurement
    ("ended_ms", "<i8"),
    ("age_years", "<f4"),
    ("sex", "<f4"),
    ("hospital_hours", "<f4"),
    ("risk", "<f8"),  # the latest provisional one
]
# One of each kind (agents.alerts).
_ALERTS: list[Any] = [
    ("episode", "<i4", (_KINDS,)),  # of all stays
    ("sequence", "<i4", (_KINDS,)),  # of the last alert
    ("phase", "u1", (_KINDS,)),
    ("priority", "u1", (_KINDS,)),
    ("on", "u1", (_KINDS,)),  # the condition holds
    ("turning_ms", "<i8", (_KINDS,)),  # since when it speaks for the other side
    ("raised_ms", "<i8", (_KINDS,)),
    ("told_ms", "<i8", (_KINDS,)),  # the last event
    ("over_ms", "<i8", (_KINDS,)),  # the end of the last alert
    ("waiting_ms", "<i8", (_KINDS,)),  # by the wall clock: since when nobody has acknowledged
    ("snooze_ms", "<i8", (_KINDS,)),  # until when
    ("snooze_live", "u1", (_KINDS,)),  # the wall clock may end it
    ("told_risk", "<f4"),  # the one that the last event told
    ("snooze_risk", "<f4"),  # the one at a snooze or a dismissal
    ("critical", "u1"),  # vital signs that are critical while snoozed, one bit each
    ("live", "u1"),  # the newest measurement came about when it was taken
    ("held_ms", "<i8"),  # no sepsis alert before
    ("arrived_ms", "<i8"),  # when the log last got something new of the patient
    ("commands_offset", "<i8"),
    ("commands", "<u8", (SEEN_COMMANDS,)),  # fingerprints of the latest, newest first
]
_OPEN_STEP: list[Any] = [
    ("open_step", "<i4"),
    ("slot_unit", "<u2", (SLOTS, _SIGNS)),  # units of 5 ms since the slot's start; 65535 = empty
    ("slot_value", "<f4", (SLOTS, _SIGNS)),
    ("late_ms", "<i8", (_SIGNS,)),  # 0 = none
    ("late_value", "<f4", (_SIGNS,)),
    ("closed_ms", "<i8", (_SIGNS,)),  # newest measurement that a closed step knows; 0 = never
    ("last_ms", "<i8", (_SIGNS,)),  # newest measurement of all
    ("last_value", "<f4", (_SIGNS,)),
]


def _fields(state: np.dtype[Any] | None) -> list[Any]:
    """Return the fields of a record with a model's hidden state; of what is the same in every layout, without one."""
    fields = [*_OWN, *_STAY, *_ALERTS, *_OPEN_STEP]
    return fields if state is None else [*fields, ("state", state)]


HEAD = np.dtype(_fields(None))
_KEPT = ("admissions_offset", "seen", "stay_number", "ended_ms", "episode", "commands_offset")
_OF_A_STUB = {"schema", "reserved", "checksum", "offset", "key", *_KEPT}
STUB = np.dtype([field for field in _fields(None) if field[0] in _OF_A_STUB])
