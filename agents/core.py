"""The decisions of a chunk: log records and states in, states, scores, alerts and refusals out.

Pure: no broker, no clock, no I/O. What it returns for a patient is a function of the patient's log alone, however the
log was cut into chunks: records that a state already holds are skipped by their offset, and a stay's numbers do not
depend on which other stays are in the chunk. Settings and thresholds that stand in the log hold from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby

from agents.columns import Columns, decode_chunk
from agents.control import SettingsSaid
from agents.decoding import Limits
from agents.in_force import InForce, settings_keys
from agents.outcome import LogRecord, Outcome
from agents.policy import Policy
from agents.record import RecordLayout
from agents.rejection import WRONG_PARTITION, Rejection
from agents.rules import Rules
from agents.stretch import Stretch
from models.stay_model import StayModel

__all__ = ["Core", "LogRecord", "Outcome"]


class Core:
    """Processes chunks of one topic by one model and one set of limits.

    `policy`, and in units that have their own the one in `units`, decide where a partition's log has named none.
    Without `explains` alerts have no reasons: for alerts that nobody will see.
    """

    def __init__(
        self,
        model: StayModel,
        policy: Policy,
        limits: Limits,
        *,
        units: Mapping[str, Policy] | None = None,
        right_partition: Callable[[bytes], int] | None = None,
        explains: bool = True,
    ) -> None:
        self.model = model
        self.policy, self.units = policy, dict(units or {})
        self.own = Rules(policy, units)
        self.limits = limits
        self.layout = RecordLayout(model)
        self._right_partition, self._explains = right_partition, explains

    def process(
        self,
        partition: int,
        records: Sequence[LogRecord],
        stored: Callable[[bytes], bytes | None],
        tell_of: Collection[bytes] = (),
    ) -> Outcome:
        """Work off a chunk in log order; `stored` gives the state record of a key, None for an unknown one.

        Of patients in `tell_of` that are met a score is told in any case. Raises UnknownSchemaError when a state was
        written by a newer version.
        """
        outcome = Outcome()
        columns = decode_chunk(records, self.limits)
        outcome.rejected += columns.rejected
        known, held = InForce.of(partition, stored)
        if held == "lost":
            outcome.state_resets["damaged"] += 1
        in_force = self._take_named(known, records, columns, outcome)
        columns = self._here(partition, columns, outcome)
        places = in_force.places_at([records[i].offset for i in columns.place])
        begin = 0
        for place, some in groupby(places):
            end = begin + len(list(some))
            rules = in_force.rules(place, self.own)
            self._stretch(partition, records, outcome, rules, columns.part(begin, end), stored, tell_of)
            begin = end
        if in_force is not known or held == "half":
            outcome.states |= dict.fromkeys(settings_keys(partition), in_force.dump())
        outcome.rejected.sort(key=lambda pair: pair[0])
        outcome.alerts.sort(key=lambda pair: pair[0])
        return outcome

    def _take_named(
        self, in_force: InForce, records: Sequence[LogRecord], columns: Columns, outcome: Outcome
    ) -> InForce:
        """Return what is in force after the settings and thresholds of a chunk; what cannot hold is refused."""
        for i, said in columns.named:
            offset = records[i].offset
            if isinstance(said, SettingsSaid):
                in_force = in_force.with_settings(offset, said.settings)
                continue
            taken = in_force.with_threshold(offset, said, self.own)
            if isinstance(taken, Rejection):
                outcome.rejected.append((i, taken))
            else:
                in_force = taken
        return in_force

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

    def _stretch(  # noqa: PLR0917 (one chunk's part under the same rules)
        self,
        partition: int,
        records: Sequence[LogRecord],
        outcome: Outcome,
        rules: Rules,
        columns: Columns,
        stored: Callable[[bytes], bytes | None],
        tell_of: Collection[bytes],
    ) -> None:
        states = outcome.states
        known = {key: states[key] if key in states else stored(key) for key in dict.fromkeys(columns.key)}
        stretch = Stretch(
            model=self.model, rules=rules, limits=self.limits, layout=self.layout, partition=partition,
            records=records, outcome=outcome, explains=self._explains,
        )  # fmt: skip
        stretch.run(columns, known, tell_of)
