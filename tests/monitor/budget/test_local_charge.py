"""One controller of a machine acts, the next one as soon as it is gone, however it went."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.budget.local_charge import LocalCharge
from monitor.errors import Failure

_HOLDS = """
import sys, pathlib
from monitor.budget.local_charge import LocalCharge
charge = LocalCharge(pathlib.Path(sys.argv[1]))
print(charge.held, flush=True)
sys.stdin.read()
"""


def test_who_stands_by_is_in_charge_when_the_other_has_let_go(tmp_path: Path) -> None:
    first, second = LocalCharge(tmp_path / "made" / "lock"), LocalCharge(tmp_path / "made" / "lock")
    second.poll()
    assert (first.held, first.confirmed(), second.held, second.confirmed()) == (True, True, False, False)
    first.close()
    second.poll()
    assert (first.held, second.held, second.confirmed()) == (False, True, True)
    second.close()


def test_a_kill_lets_go(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        charge = LocalCharge(file)
        before = charge.held
        other.kill()
        other.wait()
    charge.poll()
    assert (before, charge.held) == (False, True)
    charge.close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match=r"lock: .*; set broker.data_dir"):
        LocalCharge(tmp_path / "file" / "lock")
