"""The decisions of a chunk: log records and states in, states, scores, alerts and refusals out.

Pure: no broker, no clock, no I/O. What it returns for a patient is a function of the patient's log alone, however the
log was cut into chunks: records that a state already holds are skipped by their offset, and a stay's numbers do not
depend on which other stays are in the chunk. Settings that stand in the log hold from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from agents.control import SettingsSaid
from agents.decoding import Entry, Limits, decode_log_record
from agents.in_force import InForce, settings_key
from agents.outcome import LogRecord, Outcome
from agents.policy import Policy
from agents.record import RecordLayout
from agents.rejection import WRONG_PARTITION, Rejection
from agents.stretch import Stretch
from models.stay_model import StayModel

__all__ = ["Core", "LogRecord", "Outcome"]


class Core:
    """Processes chunks of one topic by one model and one set of limits.

    `policy` decides where a partition's log has not named another one. Without `explains` alerts have no reasons: for
    alerts that nobody will see.
    """

    def __init__(
        self,
        model: StayModel,
        policy: Policy,
        limits: Limits,
        *,
        right_partition: Callable[[bytes], int] | None = None,
        explains: bool = True,
    ) -> None:
        self.model = model
        self.policy = policy
        self.limits = limits
        self.layout = RecordLayout(model)
        self._right_partition, self._explains = right_partition, explains

    def process(self, partition: int, records: Sequence[LogRecord], stored: Callable[[bytes], bytes | None]) -> Outcome:
        """Work off a chunk in log order; `stored` gives the state record of a key, None for an unknown one.

        Raises UnknownSchemaError when a state was written by a newer version.
        """
        outcome = Outcome()
        in_force = InForce.load(stored(settings_key(partition)))
        entries: list[tuple[int, Entry]] = []
        for i, record in enumerate(records):
            decoded = decode_log_record(record.key, record.value, record.headers, record.timestamp, self.limits)
            if isinstance(decoded, Rejection):
                outcome.rejected.append((i, decoded))
            elif isinstance(decoded, SettingsSaid):
                in_force.take(record.offset, decoded.settings)
            elif self._belongs(partition, decoded.patient_id.encode()):
                entries.append((i, decoded))
            else:
                outcome.rejected.append((i, WRONG_PARTITION))
        for place, some in groupby(entries, key=lambda pair: in_force.place_at(records[pair[0]].offset)):
            policy = in_force.policy(place) or self.policy
            self._stretch(partition, records, outcome, policy, list(some), stored)
        if in_force.moved:
            outcome.states[settings_key(partition)] = in_force.dump()
        outcome.rejected.sort(key=lambda pair: pair[0])
        outcome.alerts.sort(key=lambda pair: pair[0])
        return outcome

    def _belongs(self, partition: int, key: bytes) -> bool:
        return self._right_partition is None or self._right_partition(key) == partition

    def _stretch(  # noqa: PLR0917 (one chunk's part under one policy)
        self,
        partition: int,
        records: Sequence[LogRecord],
        outcome: Outcome,
        policy: Policy,
        entries: Sequence[tuple[int, Entry]],
        stored: Callable[[bytes], bytes | None],
    ) -> None:
        known: dict[bytes, bytes | None] = {}
        for _, entry in entries:
            key = entry.patient_id.encode()
            if key not in known:
                known[key] = outcome.states[key] if key in outcome.states else stored(key)
        stretch = Stretch(
            model=self.model, policy=policy, limits=self.limits, layout=self.layout, partition=partition,
            records=records, outcome=outcome, explains=self._explains,
        )  # fmt: skip
        stretch.run(entries, known)
