"""Ending the process: at once, with the code, and without anything that would run on a clean way out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agents.exits import Exit

SCRIPT = """
import atexit, logging
from agents.exits import Exit, end_process
logging.basicConfig()
atexit.register(print, "cleaned up")
try:
    end_process(Exit({code}), "partition 3 may belong to another worker now")
finally:
    print("unwound")
"""


@pytest.mark.parametrize("code", [Exit.STREAM_FAILED, Exit.NOT_OWNER])
def test_the_process_ends_at_once_and_says_why(code: Exit) -> None:
    command = [sys.executable, "-c", SCRIPT.format(code=int(code))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert f"code={int(code)} cause={code.name.lower()}: partition 3" in done.stderr


def test_codes_differ_and_only_the_clean_end_is_zero() -> None:
    assert len({int(code) for code in Exit}) == len(Exit)
    assert [code for code in Exit if not code] == [Exit.DRAINED]
