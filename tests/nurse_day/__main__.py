"""`python -m tests.nurse_day`: a day of 300 beds, 2 % of the admissions septic, 600 times faster than life.

The stays are those of the demonstration, which the shipped model has not learned from, as often as the beds need them.
The beds are occupied when the day begins (what was before it, and the day before, is streamed quickly), patients go
home and others come, and when the day is over everybody is discharged. Two workers on Apache Kafka, the shipped policy
(or --policy) and its live budget; a scripted nurse acknowledges, snoozes, dismisses and marks alerts minutes after they
were raised, and now and then tries what cannot be done.

Exit code 1 where an alert is still open at the end, a command was not answered, or the false alert episodes a
patient-day are more than the policy's budget.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.policy import load_policy
from models.cohort import read_cohort
from tests.bench.grounds import bench_ward, parser
from tests.nurse_day.offline import DEMO
from tests.nurse_day.play import play
from tests.nurse_day.ward_day import DayStream, ward_day

__all__ = ["main"]

_WORKERS = ("worker-1", "worker-2")
_LEAD_HOURS = 24  # over which the live budget measures before the day begins
_AGO = timedelta(hours=6)  # the day's end: what the nurse says after it must not lie in the future


def main() -> int:
    """Play the day, print the figures, and return the exit code."""
    asked = parser(__doc__)
    asked.add_argument("--beds", type=int, default=300)
    asked.add_argument("--septic", type=float, default=0.02, help="share of the admissions")
    asked.add_argument("--hours", type=int, default=24)
    asked.add_argument("--speed", type=float, default=600.0, help="times real time")
    asked.add_argument("--policy", type=Path, help="policy file; default: the shipped one")
    asked.add_argument("--seed", type=int, default=0)
    arguments = asked.parse_args()
    policy = load_policy(arguments.policy)
    day = ward_day(
        read_cohort(DEMO),
        beds=arguments.beds,
        septic_share=arguments.septic,
        hours=arguments.hours,
        seed=arguments.seed,
        lead_hours=_LEAD_HOURS,
    )
    chosen = {} if arguments.policy is None else {"SEPSIS_MONITOR_POLICY__FILE": str(arguments.policy.absolute())}
    with bench_ward(arguments.bootstrap, eager=False, **chosen) as ward:
        for worker in _WORKERS:
            ward.start(worker)
        for worker in _WORKERS:
            ward.wait_ready(worker, 120)
        stream = DayStream(day, arguments.seed, datetime.now(UTC) - _AGO)
        figures = play(ward, day, stream, speed=arguments.speed, seed=arguments.seed, budget=policy.budget is not None)
    allowed = policy.budget.false_episodes_per_patient_day if policy.budget else float("inf")
    figures |= {"policy": f"{policy.name} {policy.version}", "allowed_false_per_patient_day": allowed}
    print(json.dumps(figures, indent=1))  # noqa: T201 (the result)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="ascii")
    held = figures["false_per_patient_day"] <= allowed
    return 0 if held and not figures["unanswered"] and not figures["open_at_the_end"] else 1


if __name__ == "__main__":
    sys.exit(main())
