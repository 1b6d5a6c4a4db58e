"""The partial early-warning scores at every boundary of their published tables."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.early_warning import disagreeing, mews_partial, news2_partial, news2_points, qsofa_partial, sirs_partial
from models.vital_signs import NAMES


def row(**known: float) -> NDArray[np.float32]:
    values = np.full((1, len(NAMES)), np.nan, dtype=np.float32)
    for name, value in known.items():
        values[0, NAMES.index(name)] = value
    return values


NEWS2_TABLE: dict[str, list[tuple[float, int]]] = {
    "respiratory_rate": [(1, 3), (8, 3), (9, 1), (11, 1), (12, 0), (20, 0), (21, 2), (24, 2), (25, 3), (60, 3)],
    "oxygen_saturation": [(60, 3), (91, 3), (92, 2), (93, 2), (94, 1), (95, 1), (96, 0), (100, 0)],
    "systolic_bp": [(50, 3), (90, 3), (91, 2), (100, 2), (101, 1), (110, 1), (111, 0), (219, 0), (220, 3), (280, 3)],
    "heart_rate": [
        *[(30, 3), (40, 3), (41, 1), (50, 1), (51, 0), (90, 0), (91, 1), (110, 1), (111, 2), (130, 2), (131, 3)],
        (220, 3),
    ],
    "temperature": [
        *[(30.0, 3), (35.0, 3), (35.1, 1), (36.0, 1), (36.1, 0), (38.0, 0), (38.1, 1), (39.0, 1), (39.1, 2), (41.0, 2)]
    ],
}

MEWS_TABLE: dict[str, list[tuple[float, int]]] = {
    "systolic_bp": [(50, 3), (70, 3), (71, 2), (80, 2), (81, 1), (100, 1), (101, 0), (199, 0), (200, 2)],
    "heart_rate": [(40, 2), (41, 1), (50, 1), (51, 0), (100, 0), (101, 1), (110, 1), (111, 2), (129, 2), (130, 3)],
    "respiratory_rate": [(8, 2), (9, 0), (14, 0), (15, 1), (20, 1), (21, 2), (29, 2), (30, 3)],
    "temperature": [(34.9, 2), (35.0, 0), (38.4, 0), (38.5, 2)],
}


def cases(table: dict[str, list[tuple[float, int]]]) -> list[tuple[str, float, int]]:
    return [(name, value, points) for name, bands in table.items() for value, points in bands]


@pytest.mark.parametrize(("name", "value", "points"), cases(NEWS2_TABLE))
def test_news2_band(name: str, value: float, points: int) -> None:
    values = row(**{name: value})
    assert news2_partial(values).tolist() == [points]
    assert news2_points(values)[0].tolist() == [points if each == name else 0 for each in NAMES]


@pytest.mark.parametrize(("name", "value", "points"), cases(MEWS_TABLE))
def test_mews_band(name: str, value: float, points: int) -> None:
    assert mews_partial(row(**{name: value})).tolist() == [points]


@pytest.mark.parametrize(
    ("name", "value", "points"),
    [
        ("respiratory_rate", 21, 0),
        ("respiratory_rate", 22, 1),
        ("systolic_bp", 101, 0),
        ("systolic_bp", 100, 1),
    ],
)
def test_qsofa_boundary(name: str, value: float, points: int) -> None:
    assert qsofa_partial(row(**{name: value})).tolist() == [points]


@pytest.mark.parametrize(
    ("name", "value", "points"),
    [
        ("temperature", 38.0, 0),
        ("temperature", 38.1, 1),
        ("temperature", 36.0, 0),
        ("temperature", 35.9, 1),
        ("heart_rate", 90, 0),
        ("heart_rate", 91, 1),
        ("respiratory_rate", 20, 0),
        ("respiratory_rate", 21, 1),
    ],
)
def test_sirs_boundary(name: str, value: float, points: int) -> None:
    assert sirs_partial(row(**{name: value})).tolist() == [points]


def test_a_value_between_two_rows_of_the_chart_is_rounded_half_up() -> None:
    assert news2_partial(row(respiratory_rate=20.4)).tolist() == [0]
    assert news2_partial(row(respiratory_rate=20.5)).tolist() == [2]
    assert news2_partial(row(temperature=38.04)).tolist() == [0]


def test_nothing_known_gives_no_points() -> None:
    nothing = row()
    for score in (news2_partial, qsofa_partial, sirs_partial, mews_partial):
        assert score(nothing).tolist() == [0]


def test_points_add_up_row_by_row() -> None:
    sick = row(
        heart_rate=135, respiratory_rate=30, temperature=39.5, oxygen_saturation=88, systolic_bp=68, diastolic_bp=40
    )
    both = np.concatenate([row(heart_rate=70, temperature=37), sick])
    assert news2_partial(both).tolist() == [0, 3 + 3 + 2 + 3 + 3]
    assert qsofa_partial(both).tolist() == [0, 2]
    assert sirs_partial(both).tolist() == [0, 3]
    assert mews_partial(both).tolist() == [0, 3 + 3 + 3 + 2]


@pytest.mark.parametrize(
    ("points", "alarmed", "names"),
    [
        ((5, 2, 2), True, []),
        ((4, 1, 1), True, ["news2_partial", "qsofa_partial", "sirs_partial"]),
        ((4, 1, 1), False, []),
        ((9, 0, 2), False, ["news2_partial", "sirs_partial"]),
        ((9, 0, 2), True, ["qsofa_partial"]),
    ],
)
def test_scores_that_see_it_otherwise_than_an_alarm(
    points: tuple[int, int, int], alarmed: bool, names: list[str]
) -> None:
    assert disagreeing(*points, alarmed=alarmed) == names
