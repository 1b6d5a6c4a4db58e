"""No command takes nan or infinity for a number."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from monitor.budget.rehearsal_page import command as rehearsal
from monitor.cli import main
from monitor.finite_range import FiniteRange


def numbers(command: click.Command, *path: str) -> Iterator[tuple[str, click.ParamType]]:
    """Yield what options with a number with a fraction are called, and their types."""
    for option in command.params:
        if isinstance(option.type, click.types.FloatParamType):
            yield " ".join([*path, option.opts[0]]), option.type
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from numbers(inner, *path, name)


def test_every_option_with_a_fraction_has_this_type() -> None:
    found = dict(numbers(main)) | dict(numbers(rehearsal, "rehearsal"))
    assert {"handover --hours", "board --near", "tune --budget", "budget --every", "rehearsal --start"} <= found.keys()
    assert [name for name, kind in found.items() if not isinstance(kind, FiniteRange)] == []


@pytest.mark.parametrize("text", ["nan", "-nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments", [["handover", "--hours"], ["handover", "--near"], ["budget", "--every"], ["tune", __file__, "--floor"]]
)
def test_what_is_not_finite_is_wrong_usage(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(main, [*arguments, text])
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[-1]}'" in result.output


def test_a_number_in_the_range_is_taken_and_one_outside_is_not() -> None:
    kind = FiniteRange(0, 1)
    assert kind.convert("0.25", None, None) == 0.25
    for outside in ("1.5", "-0.1", "much"):
        with pytest.raises(click.BadParameter):
            kind.convert(outside, None, None)
