"""What the models' own commands say of how they are used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

__all__ = ["check_usage_is_said"]


def check_usage_is_said(main: Callable[[list[str]], int], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that wrong usage ends with 2 and a call for help with 0, and that both say what is to be given."""
    for arguments, code in (([], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
        assert said in "".join(capsys.readouterr())
