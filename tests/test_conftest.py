"""A run says at its end what it left out."""

from __future__ import annotations

from tests.conftest import skipped_lines


def test_what_was_skipped_is_told_by_reason() -> None:
    reasons = ["Skipped: needs kubectl", "Skipped: needs promtool: not found", "Skipped: needs promtool: not found"]
    assert skipped_lines(reasons) == [
        "NOT RUN: 2 tests: needs promtool: not found",
        "NOT RUN: 1 tests: needs kubectl",
    ]
    assert skipped_lines([]) == ["NOT RUN: nothing"]
