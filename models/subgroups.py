"""Groups of stays that figures are given for apart: a mean over all hides whom a model serves badly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort

__all__ = ["hospitals", "subgroups"]

Groups = dict[str, NDArray[np.bool_]]

_AGE_BANDS = (("under 45", 0, 45), ("45 to 64", 45, 65), ("65 to 79", 65, 80), ("80 and over", 80, np.inf))
_SEXES = (("female", 0), ("male", 1))
_UNIT_TYPES = (("medical", 1), ("surgical", 2), ("unknown", 0))


def hospitals(cohort: Cohort) -> Groups:
    """Return the stays (S) of each hospital that the file names."""
    names = np.array(cohort.hospitals, dtype=np.str_)
    return {str(name): names == name for name in sorted(set(cohort.hospitals)) if name}


def subgroups(cohort: Cohort) -> dict[str, Groups]:
    """Return the stays (S) of each group, by what they are grouped by; groups without a stay are left out."""
    age, sex, unit = cohort.age_years, cohort.sex, cohort.unit_type
    found = {
        "hospital": hospitals(cohort),
        "age": {name: (age >= low) & (age < high) for name, low, high in _AGE_BANDS},
        "sex": {name: sex == code for name, code in _SEXES},
        "unit type": {name: unit == code for name, code in _UNIT_TYPES},
    }
    return {by: {name: stays for name, stays in groups.items() if stays.any()} for by, groups in found.items()}
