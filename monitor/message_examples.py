"""Examples of what others write, and of thresholds, for the AsyncAPI document; tests give them to the decoders too."""

from __future__ import annotations

from typing import Any

__all__ = ["INVALID", "VALID"]

_SEEN = {"patient_id": "p000018", "time": "2026-11-22T10:00:07Z"}
_HAPPENED = {"patient_id": "p000018", "time": "2026-11-22T08:00:00Z"}
_DONE = {
    "command_id": "board-7:51",
    "patient_id": "p000018",
    "alert_id": "9f645011-4f13-5e22-aa40-c0bac1f33490",
    "time": "2026-11-22T10:02:11Z",
}
_MOVED = {
    "unit": "MICU",
    "raise_threshold": 0.0221,
    "counted_until": "2026-11-22T10:00:00Z",
    "episodes": 31,
    "patient_days": 23.7,
    "policy": {"name": "icu", "version": "2026-11-20", "digest": "sha256:0"},
    "time": "2026-11-22T10:00:41Z",
}
_Examples = tuple[tuple[str, dict[str, Any]], ...]  # what each shows, and its value

VALID: dict[str, _Examples] = {  # by the name of the class
    "Observation": (
        (
            "everything",
            {
                "event_id": "mon-7:118273",
                **_SEEN,
                "heart_rate": 96,
                "temperature": 38.2,
                "respiratory_rate": 22,
                "oxygen_saturation": 95,
                "systolic_bp": 104,
                "diastolic_bp": 58,
                "mean_arterial_pressure": 73,
            },
        ),
        ("the least", {**_SEEN, "heart_rate": 96}),
        ("unknown fields are ignored", {**_SEEN, "temperature": 38.2, "monitor": "x"}),
    ),
    "Admission": (
        (
            "admitted",
            {
                "event_id": "adt-5521",
                **_HAPPENED,
                "type": "admitted",
                "admitted": "2026-11-22T08:00:00Z",
                "age": 67,
                "sex": "female",
                "unit": "MICU",
                "bed": "04",
                "unit_type": "medical",
                "hospital_admitted": "2026-11-21T23:30:00Z",
            },
        ),
        ("discharged", {**_HAPPENED, "type": "discharged"}),
        ("merged into another patient", {**_HAPPENED, "type": "merged", "into": "p000019"}),
    ),
    "Command": (
        ("acknowledge", {**_DONE, "type": "acknowledge", "sequence": 1, "by": "nurse-4"}),
        ("snooze", {**_DONE, "type": "snooze", "minutes": 30}),
        ("dismiss", {**_DONE, "type": "dismiss", "reason": "artefact"}),
        ("mark", {**_DONE, "type": "mark", "verdict": "already_treated"}),
    ),
    "UnitThreshold": (
        ("a unit that bore too much", _MOVED),
        ("the patients of no unit, put back", {**_MOVED, "unit": "", "episodes": 0, "patient_days": 0.0}),
    ),
}
INVALID: dict[str, _Examples] = {
    "Observation": (
        ("no vital sign", _SEEN),
        ("no patient", {"time": "2026-11-22T10:00:07Z", "heart_rate": 96}),
        ("a patient id with a space", {**_SEEN, "patient_id": "John Doe", "heart_rate": 96}),
        ("a time without an offset", {**_SEEN, "time": "2026-11-22T10:00:07", "heart_rate": 96}),
        ("a value as text", {**_SEEN, "heart_rate": "96"}),
        ("another major version", {**_SEEN, "heart_rate": 96, "schema_version": 2}),
    ),
    "Admission": (
        ("an unknown type", {**_HAPPENED, "type": "born"}),
        ("no time", {"patient_id": "p000018", "type": "admitted"}),
        ("age as text", {**_HAPPENED, "type": "admitted", "age": "67"}),
    ),
    "Command": (
        ("a snooze without minutes", {**_DONE, "type": "snooze"}),
        ("minutes where there is no snooze", {**_DONE, "type": "acknowledge", "minutes": 30}),
        ("a mark without a verdict", {**_DONE, "type": "mark"}),
        ("no alert", {name: value for name, value in _DONE.items() if name != "alert_id"} | {"type": "acknowledge"}),
    ),
    "UnitThreshold": (
        ("a threshold as text", {**_MOVED, "raise_threshold": "0.0221"}),
        ("no policy", {name: value for name, value in _MOVED.items() if name != "policy"}),
    ),
}
