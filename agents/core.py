"""The decisions of a chunk: log records and states in, states, scores, alerts and refusals out.

Pure: no broker, no clock, no I/O. What it returns for a patient is a function of the patient's log alone, however the
log was cut into chunks: records that a state already holds are skipped by their offset, and a stay's numbers do not
depend on which other stays are in the chunk. Settings that stand in the log hold from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from agents.columns import Columns, decode_chunk
from agents.decoding import Limits
from agents.in_force import InForce, settings_key
from agents.outcome import LogRecord, Outcome
from agents.policy import Policy
from agents.record import RecordLayout
from agents.rejection import WRONG_PARTITION
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
        columns = decode_chunk(records, self.limits)
        outcome.rejected += columns.rejected
        for i, said in columns.settings:
            in_force.take(records[i].offset, said.settings)
        columns = self._here(partition, columns, outcome)
        places = in_force.places_at([records[i].offset for i in columns.place])
        begin = 0
        for place, some in groupby(places):
            end = begin + len(list(some))
            policy = in_force.policy(place) or self.policy
            self._stretch(partition, records, outcome, policy, columns.part(begin, end), stored)
            begin = end
        if in_force.moved:
            outcome.states[settings_key(partition)] = in_force.dump()
        outcome.rejected.sort(key=lambda pair: pair[0])
        outcome.alerts.sort(key=lambda pair: pair[0])
        return outcome

    def _here(self, partition: int, columns: Columns, outcome: Outcome) -> Columns:
        """Return the entries whose patients belong in the partition; the others are refused."""
        right = self._right_partition
        if right is None:
            return columns
        elsewhere = {key for key in set(columns.key) if right(key) != partition}
        if not elsewhere:
            return columns
        wrong = [at for at, key in enumerate(columns.key) if key in elsewhere]
        outcome.rejected += [(columns.place[at], WRONG_PARTITION) for at in wrong]
        return columns.without(wrong)

    def _stretch(  # noqa: PLR0917 (one chunk's part under one policy)
        self,
        partition: int,
        records: Sequence[LogRecord],
        outcome: Outcome,
        policy: Policy,
        columns: Columns,
        stored: Callable[[bytes], bytes | None],
    ) -> None:
        states = outcome.states
        known = {key: states[key] if key in states else stored(key) for key in dict.fromkeys(columns.key)}
        stretch = Stretch(
            model=self.model, policy=policy, limits=self.limits, layout=self.layout, partition=partition,
            records=records, outcome=outcome, explains=self._explains,
        )  # fmt: skip
        stretch.run(columns, known)
