"""`python -m tests.nurse_day.offline`: what many such days bear, without a stream and without a nurse.

Alerts are the workers' own decision at fixed thresholds, right where they were open in the window around an onset.
Patient-days and false episodes are counted as the live budget counts them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.policy import load_policy
from models.artifact import load_model
from models.cohort import Cohort, read_cohort
from models.onset import HOURS_AFTER, HOURS_BEFORE
from models.split import split
from monitor.budget.burden import UnitBurden
from monitor.simulation import Episode, simulate_cohort
from monitor.tuning import choosing_stays
from tests.nurse_day.ward_day import WardDay, ward_day

__all__ = ["DEMO", "Borne", "borne", "main"]

DEMO = Path(__file__).parents[2] / "monitor" / "data" / "demo-stays.parquet"
_MINUTE_MS = 60_000
_READ_AT = 30  # minute of an hour: about when a stay's readings are taken


@dataclass(frozen=True)
class Borne:
    """What a day bore: false episodes that ended in it, all that did, for how many patient-days."""

    stays: int
    septic: int
    patient_days: float
    false_per_patient_day: float
    ended_per_patient_day: float


def borne(day: WardDay, episodes: Mapping[int, Sequence[Episode]]) -> Borne:
    """Count a day; `episodes` are those of each stay of the data, by its number, with times in hours of the stay."""
    known, every, cohort = UnitBurden(), UnitBurden(), day.cohort
    last = cohort.steps[cohort.offsets[1:] - 1]
    for stay, source in enumerate(day.source.tolist()):
        begin = int(day.start[stay]) + _READ_AT
        known.present.append((begin * _MINUTE_MS, (int(day.start[stay]) + 60 * int(last[stay] + 1)) * _MINUTE_MS))
        onset = day.onset_hours[stay]
        for each in episodes.get(source, ()):
            at_ms = round(begin + 60 * (each.end + 1)) * _MINUTE_MS
            right = each.end >= onset - HOURS_BEFORE and each.begin <= onset + HOURS_AFTER
            known.ended.append((at_ms, bool(right)))
            every.ended.append((at_ms, False))
    until = day.hours * 60 * _MINUTE_MS
    false, days = known.measured(0, until), known.measured(0, until).patient_days
    return Borne(
        int(day.here.sum()),
        int(np.isfinite(day.onset_hours[day.here]).sum()),
        days,
        false.episodes / days,
        every.measured(0, until).episodes / days,
    )


def _stays(file: Path, *, unchosen: bool) -> Cohort:
    """Return the stays of a file; `unchosen`: those on which the shipped policy was judged, not chosen."""
    whole = read_cohort(file)
    if not unchosen:
        return whole
    parts = split(whole).parts()
    kept = whole.select(parts["validation"] | parts["calibration"])
    return kept.select(~choosing_stays(kept))


def main() -> int:
    """Print each day's figures and how they are distributed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("data", nargs="?", type=Path, default=DEMO)
    asked.add_argument("--unchosen", action="store_true", help="only the stays that tune judged the shipped policy by")
    asked.add_argument("--policy", type=Path, help="policy file; default: the shipped one")
    asked.add_argument("--seeds", type=int, default=20)
    asked.add_argument("--beds", type=int, default=300)
    asked.add_argument("--septic", type=float, default=0.02, help="share of the admissions")
    asked.add_argument("--hours", type=int, default=24)
    arguments = asked.parse_args()
    whole, policy = _stays(arguments.data, unchosen=arguments.unchosen), load_policy(arguments.policy)
    numbers = {name: stay for stay, name in enumerate(whole.patient_ids)}
    episodes: dict[int, list[Episode]] = defaultdict(list)
    for each in simulate_cohort(load_model("bedside"), policy, whole).episodes:
        episodes[numbers[each.stay]].append(each)
    size = {"beds": arguments.beds, "septic_share": arguments.septic, "hours": arguments.hours, "lead_hours": 0}
    days = [borne(ward_day(whole, **size, seed=seed), episodes) for seed in range(arguments.seeds)]
    allowed = policy.budget.false_episodes_per_patient_day if policy.budget else float("nan")
    for seed, day in enumerate(days):
        print(  # noqa: T201
            f"{seed:3} {day.stays} stays, {day.septic} septic, {day.patient_days:.0f} patient-days: "
            f"{day.false_per_patient_day:.3f} false, {day.ended_per_patient_day:.3f} in all a patient-day"
        )
    false = np.array([day.false_per_patient_day for day in days])
    print(  # noqa: T201
        json.dumps(
            {
                "policy": f"{policy.name} {policy.version}",
                "days": len(days),
                "mean": round(float(false.mean()), 3),
                "quantiles_0_5_50_95_100": np.quantile(false, [0, 0.05, 0.5, 0.95, 1]).round(3).tolist(),
                "all_episodes_mean": round(float(np.mean([day.ended_per_patient_day for day in days])), 3),
                "within_budget": int((false <= allowed).sum()),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
