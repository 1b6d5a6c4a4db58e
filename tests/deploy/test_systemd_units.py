"""systemd takes the units, finds little exposed, and their settings and exit codes are the product's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agents.exits import Exit
from monitor.access import ROLES
from tests.deploy.promql import DEPLOY
from tests.deploy.settings_named import unknown

_FOLDER = DEPLOY / "systemd"
_SERVICES = sorted(_FOLDER.glob("*.service"))
_PROGRAM = "/opt/sepsis-monitor/bin/sepsis-monitor"
_EXPOSURE = 15  # tenths: systemd calls up to 2.0 well protected

_TARGETS = ("multi-user.target", "sepsis-monitor.target")

needs_systemctl = pytest.mark.skipif(shutil.which("systemctl") is None, reason="there is no systemctl")
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


def _installed(folder: Path) -> list[Path]:
    """Copy the units, the template as its first instance, with a program that is there in the place of ours."""
    units = []
    for path in [*_SERVICES, _FOLDER / "sepsis-monitor.target"]:
        unit = folder / path.name.replace("@.", "@1.")
        unit.write_text(path.read_text().replace(_PROGRAM, "/bin/true"))
        units.append(unit)
    return units


def _analyze(*arguments: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:] + done.stderr


def _systemctl(root: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["systemctl", f"--root={root}", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_systemd
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    units = [str(unit) for unit in _installed(tmp_path)]
    _analyze("verify", "--man=no", "--recursive-errors=one", *units)


@needs_systemd
def test_little_is_exposed(tmp_path: Path) -> None:
    for unit in _installed(tmp_path):
        if unit.suffix == ".service":
            _analyze("security", "--offline=yes", f"--threshold={_EXPOSURE}", str(unit))


@needs_systemctl
@pytest.mark.parametrize("path", _SERVICES, ids=lambda path: path.name)
def test_what_is_enabled_starts_with_the_machine_and_with_the_target(tmp_path: Path, path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for one in [*_SERVICES, _FOLDER / "sepsis-monitor.target"]:
        shutil.copy(one, units)
    instance = path.name.replace("@.", "@1.")
    _systemctl(tmp_path, "enable", instance)
    wants = {target: units / f"{target}.wants" for target in _TARGETS}
    assert all((folder / instance).is_symlink() for folder in wants.values())
    _systemctl(tmp_path, "enable", "sepsis-monitor@2.service")
    _systemctl(tmp_path, "disable", "sepsis-monitor@2.service")  # takes nothing of the others with it
    assert all({entry.name for entry in folder.iterdir()} == {instance} for folder in wants.values())


@pytest.mark.parametrize("path", _SERVICES, ids=lambda path: path.name)
def test_a_unit_starts_again_whenever_that_helps(path: Path) -> None:
    text = path.read_text()
    final = {Exit.DRAINED, Exit.LOG_BEHIND_STATE, Exit.OTHER_SCHEMA, Exit.INSTANCE_TAKEN}
    assert re.findall(r"^RestartPreventExitStatus=(.+)$", text, re.MULTILINE) == [" ".join(map(str, sorted(final)))]
    assert "\nRestart=always\n" in text
    assert "\nStartLimitIntervalSec=0\n" in text
    assert unknown(re.findall(r"^Environment=(SEPSIS_MONITOR_\w+)", text, re.MULTILINE)) == []
    assert text.count(f"ExecStart={_PROGRAM} ") == 1
    assert "\nEnvironment=SEPSIS_MONITOR_CONFIG=/etc/sepsis-monitor/sepsis-monitor.toml\n" in text


@pytest.mark.parametrize("path", _SERVICES, ids=lambda path: path.name)
def test_a_unit_is_a_principal_with_its_password_in_a_file(path: Path) -> None:
    said = dict(re.findall(r"^Environment=SEPSIS_MONITOR_KAFKA__(\w+)=(.+)$", path.read_text(), re.MULTILINE))
    (credential,) = re.findall(r"^LoadCredential=(.+)$", path.read_text(), re.MULTILINE)
    role = credential.removeprefix("sepsis-monitor.")
    assert role in ROLES
    assert said == {
        "SASL_PLAIN_USERNAME": f"sepsis-{role}",
        "SASL_PLAIN_PASSWORD_FILE": f"%d/{credential}",
    }


def test_a_worker_tells_systemd_of_itself() -> None:
    text = (_FOLDER / "sepsis-monitor@.service").read_text()
    for line in ("Type=notify", "WatchdogSec=15", "TimeoutStartSec=infinity", "TimeoutStopSec=15"):
        assert f"\n{line}\n" in text
    assert "serve --instance %l-%i\n" in text  # one of its own over all machines, and the same after a restart
