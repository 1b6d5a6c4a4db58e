"""A board fits its terminal, and says what it leaves out."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from monitor.handover import sections
from monitor.ward_now import WardNow
from monitor.ward_view import board
from tests.monitor.alert_examples import alert
from tests.monitor.test_ward_now import NOW, score


def lines(ward: WardNow, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=140, height=height)
    with console.capture() as capture:
        console.print(board(sections(ward, NOW), "head", height))
    return capture.get().splitlines()


@pytest.mark.parametrize("patients", [0, 1, 5, 200])
def test_a_board_fits_and_counts_everybody(patients: int) -> None:
    ward = WardNow(lambda _: 0.01, lambda _: 0.016)
    for number in range(patients):
        name = f"p{number:03}"
        ward.take_score(name, score(patient_id=name, risk=0.02))
        if number % 2:
            ward.take_alert(name, alert(patient_id=name))
    shown = lines(ward, 45)
    assert len(shown) <= 45
    assert f"Open alerts ({patients // 2})" in shown
    assert f"Near an alert ({patients - patients // 2})" in shown
    if patients == 200:
        assert any(line.endswith("more") for line in shown)


def test_a_name_is_never_taken_for_markup() -> None:
    ward = WardNow(lambda _: 0.01, lambda _: 0.016)
    ward.take_score("[red]x[/red]", score(patient_id="[red]x[/red]", risk=0.02))
    assert any("[red]x[/red]" in line for line in lines(ward, 40))
