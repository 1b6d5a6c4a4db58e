"""Why an event is refused: a closed list of reasons, so that counters have a known set of labels.

A refused event goes to `vitals.rejected.v1` with its key, value and headers untouched; the reason, one plain sentence
and where it stood are added as headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["REASONS", "WRONG_PARTITION", "Rejection"]

REASONS: Final[dict[str, str]] = {
    "value_missing": "the record has no value",
    "value_too_large": "the value is larger than the configured limit",
    "not_utf8": "the value is not valid UTF-8",
    "not_json": "the value is not well-formed JSON",
    "too_deep": "the value is nested too deeply",
    "duplicate_field": "a field stands twice in the value",
    "schema": "a field is missing or has the wrong type",
    "unknown_version": "the schema version is not known here",
    "unknown_type": "the CloudEvents type is not known here",
    "patient_id_invalid": "the patient id has characters or a length that are not allowed",
    "key_missing": "the record has no key",
    "key_mismatch": "the record's key is not the patient id of its value",
    "wrong_partition": "the record is not in the partition that murmur2 gives for its key",
    "time_invalid": "the time is not RFC 3339 with an offset",
    "time_implausible": "the time lies before the year 2000",
    "time_ahead": "the time lies too far ahead of the record's own Kafka timestamp",
    "no_vital_sign": "the observation carries no vital sign",
    "implausible": "a value lies outside the plausible range of its vital sign: wrong unit, artefact or sensor off",
    "contradictory": "the blood pressures contradict each other",
    "too_late": "the observation is older than the configured limit",
    "stay_ended": "the observation belongs to a stay that has ended",
    "admission_invalid": "the admission event contradicts itself or the stay that it names",
    "command_invalid": "the command lacks what its type needs, or says what it cannot mean",
    "threshold_invalid": "the unit's threshold follows another policy than is in force there, or leaves its limits",
}


@dataclass(frozen=True)
class Rejection:
    """One refused event: the reason's code (a key of REASONS) and a sentence that names the field and the value's kind.

    The sentence never holds the value itself: it travels in headers and is shown by tools.
    """

    reason: str
    detail: str


WRONG_PARTITION: Final = Rejection(
    "wrong_partition", "the key's murmur2 partition is another: set the producer's partitioner to murmur2"
)
