"""The course of a risk in blocks."""

from __future__ import annotations

from monitor.sparkline import sparkline


def test_values_fill_the_scale_that_is_given() -> None:
    assert sparkline([0.0, 0.5, 1.0, 7.0, -1.0], width=9, top=1.0) == "▁▅██▁"


def test_the_last_values_are_shown() -> None:
    assert sparkline([1.0] * 5 + [0.0] * 3, width=4, top=1.0) == "█▁▁▁"


def test_nothing_to_show_is_empty() -> None:
    assert (
        sparkline([], width=4, top=1.0) == sparkline([1.0], width=0, top=1.0) == sparkline([1.0], width=4, top=0) == ""
    )
