"""The controller of the live budget: looks again and again at what was counted, and moves thresholds in the logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from kafka.errors import KafkaError

from agents.messages import UnitThreshold
from agents.observer import Status
from agents.policy import Policy
from monitor.budget.controller import Look, look, reset
from monitor.budget.metrics import BudgetMetrics
from monitor.budget.reading import BudgetReader
from monitor.errors import Failure
from monitor.refusals import why
from monitor.retrying import Setbacks

__all__ = ["MOST_UNITS", "Controller", "InCharge", "Puts", "Watch"]

MOST_UNITS = 300
_LATE_SECONDS = 60.0  # after the time at which the next look was due: /readyz says so

_log = structlog.get_logger(__name__)


class Puts(Protocol):
    """Where thresholds are written to."""

    def put(self, record: UnitThreshold) -> None: ...  # noqa: D102
    def remember(self, records: Sequence[UnitThreshold]) -> None: ...  # noqa: D102
    def repeat(self, records: Sequence[UnitThreshold]) -> None: ...  # noqa: D102


class InCharge(Protocol):
    """Whether this controller is the one that acts."""

    @property
    def joined(self) -> bool: ...  # noqa: D102
    @property
    def held(self) -> bool: ...  # noqa: D102
    def poll(self) -> None: ...  # noqa: D102
    def confirmed(self) -> bool: ...  # noqa: D102


class Controller:
    """Looks at all units and puts what follows; what is in force it knows from the topic alone, also its own moves."""

    def __init__(
        self,
        reader: BudgetReader,
        policy_of: Callable[[str], Policy],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reader, self._policy_of, self._clock = reader, policy_of, clock
        self._repeated = False  # whether the logs are known to have what the topic of thresholds has

    def looks(self, stop: threading.Event) -> list[Look]:
        """Read on and return what is to be done about each unit; nothing where `stop` was set meanwhile.

        Raises Failure where there are too many units to be wards, KafkaError where the cluster does not answer.
        """
        self._reader.catch_up(stop)
        if stop.is_set():
            return []
        units = self._reader.burden.by_unit()
        if len(units) > MOST_UNITS:
            msg = (
                f"the admissions name {len(units)} units, and more than {MOST_UNITS} cannot be wards: nothing is "
                "moved; see to it that `unit` names wards and not beds or patients"
            )
            raise Failure(msg)
        return look(
            units,
            self._reader.thresholds,
            self._policy_of,
            complete_from_ms=self._reader.complete_from_ms,
            now_ms=round(self._clock() * 1000),
        )

    def act(self, looks: Sequence[Look], charge: InCharge, puts: Puts) -> list[Look]:
        """Do what was found where this controller is in charge, and return what was done.

        Where a write fails it is not known how far it came: everything is written again at the next look.
        """
        if not charge.held:
            self._repeated = False  # another one may write now
            return []
        wanted = [each for each in looks if each.record is not None]
        thresholds = self._reader.thresholds
        if self._repeated and not wanted and not thresholds.overtaken:
            return []
        if not charge.confirmed():
            return []
        whole, self._repeated = self._repeated, False
        if thresholds.overtaken:
            puts.remember([thresholds.newest[unit] for unit in sorted(thresholds.overtaken)])
        if not whole:
            puts.repeat([record for unit, record in sorted(thresholds.newest.items()) if self._follows(unit, record)])
        for each in wanted:
            if each.record is not None:
                puts.put(each.record)
        self._repeated = True
        return wanted

    def _follows(self, unit: str, record: UnitThreshold) -> bool:
        """Tell whether a record means something to workers that run today's policies."""
        return self._reader.thresholds.under(self._policy_of(unit), unit) is record

    def resets(self, stop: threading.Event, unit: str | None) -> list[UnitThreshold]:
        """Return the records that put a unit, or all that were ever moved, back to their policies' own thresholds.

        Raises Failure where nothing is known of the unit.
        """
        self._reader.catch_up(stop)
        thresholds, units = self._reader.thresholds, self._reader.burden.by_unit()
        if unit is not None and unit not in units and unit not in thresholds.newest:
            known = ", ".join(sorted({*units, *thresholds.newest} - {""})) or "none"
            msg = f"nothing is known of a unit {unit!r}; those that are known: {known}"
            raise Failure(msg)
        named = sorted(thresholds.newest) if unit is None else [unit]
        now_ms = round(self._clock() * 1000)
        return [
            reset(each, policy, thresholds, until_ms=units[each].clock_ms if each in units else 0, now_ms=now_ms)
            for each in named
            if (policy := self._policy_of(each)).budget is not None
        ]


class Watch:
    """Looks every so often until told to stop."""

    def __init__(self, controller: Controller, charge: InCharge, puts: Puts, metrics: BudgetMetrics) -> None:
        self._controller, self._charge, self._puts, self._metrics = controller, charge, puts, metrics
        self._due = time.monotonic() + _LATE_SECONDS
        self._elsewhere: set[tuple[str, str | None]] = set()  # units and policies of which it was said
        self._setbacks = Setbacks("budget_look_failed")

    def run(self, stop: threading.Event, every_seconds: float, tell: Callable[[Look], None]) -> None:
        """Look until `stop` is set; `tell` gets each move. A cluster that does not answer is asked again.

        Raises Failure where there are too many units.
        """
        while not stop.is_set():
            began = time.monotonic()
            try:
                for done in self._once(stop):
                    tell(done)
                self._setbacks.over()
                self._due = time.monotonic() + every_seconds + _LATE_SECONDS
                while not stop.is_set() and time.monotonic() - began < every_seconds:
                    self._charge.poll()
            except KafkaError as error:
                stop.wait(self._setbacks.failed(why(error, "budget", "Read or Write")))

    def _once(self, stop: threading.Event) -> list[Look]:
        # Who was put in charge during the look may not have read what the one before wrote last.
        in_charge = self._charge.held
        looks = self._controller.looks(stop)
        if stop.is_set():
            return []
        self._warn(looks)
        done = self._controller.act(looks, self._charge, self._puts) if in_charge else []
        for each in done:
            _log.info("budget_moved", unit=each.unit, outcome=each.outcome, threshold=each.threshold_after)
        self._metrics.show(looks, done, in_charge=self._charge.held, now=time.time())
        return done

    def _warn(self, looks: Sequence[Look]) -> None:
        """Say once of each unit that its workers alert under another policy."""
        found = {(each.unit, each.policy_at_work): each for each in looks if each.elsewhere}
        for name in sorted(found.keys() - self._elsewhere, key=lambda name: name[0]):
            each = found[name]
            _log.warning(
                "budget_policy_elsewhere", unit=each.unit, policy=each.policy.digest, policy_at_work=name[1],
                meaning="the unit's last alert moved under another policy: workers take no threshold of this one",
            )  # fmt: skip
        self._elsewhere = set(found)

    def status(self) -> Status:
        """Return what /livez and /readyz say."""
        late = self._setbacks.standing or time.monotonic() > self._due
        return Status(live=True, ready=not late, failing=("kafka",) if late else ())
