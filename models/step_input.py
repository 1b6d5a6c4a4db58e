"""What the model sees of N stays in one step of one hour, and how parts of it can be hidden."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.vital_signs import NAMES

__all__ = ["HIDEABLE", "StepInput", "masked"]

HIDEABLE: frozenset[str] = frozenset({"hospital_admitted", "unit_type", "age", "sex"})


@dataclass(frozen=True)
class StepInput:
    """One step of N stays. Values are plausible and consistent already (`vital_signs.usable`); NaN is missing.

    A late value is a measurement of an earlier, closed step that is newer than the last one the state knows: the state
    refuses one of an earlier step; within the same step the caller must know.
    """

    step: NDArray[np.int32]  # (N) hours since each stay's start, from 0
    values: NDArray[np.float32]  # (N, 7) NaN: not measured in this step
    late_values: NDArray[np.float32]  # (N, 7) NaN: none
    late_steps: NDArray[np.int32]  # (N, 7) the step each late value was measured in; anything where there is none
    age_years: NDArray[np.float32]  # (N) NaN unknown
    sex: NDArray[np.float32]  # (N) 0 female, 1 male, NaN unknown
    hospital_hours: NDArray[np.float32]  # (N) hours from hospital admission to the stay's start, NaN unknown
    unit_type: NDArray[np.int8]  # (N) 0 unknown, 1 medical, 2 surgical


def masked(inputs: StepInput, vitals: frozenset[str] | None, hide: frozenset[str]) -> StepInput:
    """Return the inputs as a model sees them that is shown only some vital signs (None: all) and not `hide`.

    `hide` takes hospital_admitted, unit_type, age and sex. Raises ValueError for a name that is none of these.
    """
    unknown = sorted((vitals or frozenset()) - frozenset(NAMES)) + sorted(hide - HIDEABLE)
    if unknown:
        msg = (
            f"No such input: {', '.join(unknown)}. There are the vital signs {', '.join(NAMES)}; "
            f"{', '.join(sorted(HIDEABLE))} can be hidden."
        )
        raise ValueError(msg)
    seen = np.array([vitals is None or name in vitals for name in NAMES])
    nan = np.float32(np.nan)
    return replace(
        inputs,
        values=np.where(seen, inputs.values, nan),
        late_values=np.where(seen, inputs.late_values, nan),
        age_years=np.full_like(inputs.age_years, nan) if "age" in hide else inputs.age_years,
        sex=np.full_like(inputs.sex, nan) if "sex" in hide else inputs.sex,
        hospital_hours=np.full_like(inputs.hospital_hours, nan)
        if "hospital_admitted" in hide
        else inputs.hospital_hours,
        unit_type=np.zeros_like(inputs.unit_type) if "unit_type" in hide else inputs.unit_type,
    )
