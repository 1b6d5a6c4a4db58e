"""The options of every command line that a page tells its reader to type are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from monitor.cli import main

_ROOT = Path(__file__).parents[1]
_PAGES = sorted(path for folder in (".", "docs", "docs/runbooks", "deploy") for path in (_ROOT / folder).glob("*.md"))
_CODE = re.compile(r"```\w*\n(.*?)```|`([^`]+)`|^ {4}(\S[^\n]*)$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"sepsis-monitor ([^|&#;`'\n]+)")


def _command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words behind the program's name, of all that stands in code."""
    for block, span, indented in _CODE.findall(text):
        code = block.replace("\\\n", " ") or " ".join((span or indented).split())
        for words in _COMMAND.findall(code):
            yield words.split()


def _unknown(words: list[str]) -> list[str]:
    """Return the options of a command line that its command has not; none of a line that calls no command."""
    command: click.Command = main
    known = {"--help", "--version"}
    missing = []
    for word in words:
        under = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        command = under or command
        known |= {option for parameter in command.params for option in parameter.opts}
        option = word.partition("=")[0].rstrip(".,:)")
        if command is not main and option.startswith("--") and option not in known:
            missing.append(f"{command.name} {option}")
    return missing


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_options_that_a_page_names_are_there(page: Path) -> None:
    assert [missing for words in _command_lines(page.read_text()) for missing in _unknown(words)] == []


def test_what_is_not_there_is_found() -> None:
    text = "Say `sepsis-monitor canary --twice`.\n\n    sepsis-monitor --config x topics acls --role worker --of you\n"
    assert [_unknown(words) for words in _command_lines(text)] == [["canary --twice"], ["acls --of"]]
    assert sum(len(list(_command_lines(page.read_text()))) for page in _PAGES) > 50
