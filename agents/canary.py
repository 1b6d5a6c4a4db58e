"""Canaries: made-up patients whose alerts show that the whole way is open, end to end.

Nothing but the id tells a canary from a patient, so that its observations take every step that a patient's take. Its
alerts and scores are marked as tests, and it is counted in no clinical figure.
"""

from __future__ import annotations

__all__ = ["CANARY_PREFIX", "is_canary"]

CANARY_PREFIX = "sepsis-monitor-canary-"


def is_canary(patient_id: str) -> bool:
    """Tell whether a patient id is a canary's. A gateway must never give one to a patient."""
    return patient_id.startswith(CANARY_PREFIX)
