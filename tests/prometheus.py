"""The real Prometheus and Alertmanager for tests: from PROMETHEUS_HOME, from PATH, or from Debian's packages.

Where neither has them, the packages are fetched with apt-get into .cache/ of the checkout and unpacked there, which
needs no root. Where that fails too, tests are skipped and say why; with SEPSIS_MONITOR_REQUIRE_PROMETHEUS=1 they fail.
`python -m tests.prometheus` fetches them ahead of time.

Debian's Alertmanager opens its own templates by an absolute path, which only exists where it is installed. In the copy
that is unpacked here that path is made relative: start it in a folder that `furnish` has prepared.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["NAMES", "find", "furnish", "tool"]

NAMES = ("promtool", "prometheus", "prometheus-alertmanager", "amtool")
_PACKAGES = ("prometheus", "prometheus-alertmanager")
_UPSTREAM = {"prometheus-alertmanager": "alertmanager"}  # what the project's own archives call it
_CACHE = Path(__file__).parents[1] / ".cache" / "prometheus"
_REQUIRE = "SEPSIS_MONITOR_REQUIRE_PROMETHEUS"
_FETCH_SECONDS = 120
_INSTALLED, _RELATIVE = b"/usr/share/prometheus/alertmanager", b"usr/share/prometheus/alertmanager/"  # of one length


def tool(name: str) -> str:
    """Return the path of one of NAMES; skips the test where it cannot be had, or fails it where that is demanded."""
    found = find(name)
    if found is None:
        found, reason = _fetched(name)
        if found is None:
            msg = f"needs {name}: {reason}; install Debian's {' and '.join(_PACKAGES)}, or set PROMETHEUS_HOME"
            if os.environ.get(_REQUIRE) == "1":
                pytest.fail(msg, pytrace=False)
            pytest.skip(msg)
    return found


def find(name: str) -> str | None:
    """Return the path of one of NAMES if it is here already."""
    home = os.environ.get("PROMETHEUS_HOME", "")
    places = [home, f"{home}/bin", f"{home}/usr/bin"] if home else []
    places += [os.environ.get("PATH", ""), str(_CACHE / "usr" / "bin")]
    for known in (name, _UPSTREAM.get(name, name)):
        found = shutil.which(known, path=os.pathsep.join(places))
        if found:
            return found
    return None


def furnish(folder: Path) -> None:
    """Let what was unpacked here find its own files when it is started in `folder`."""
    if (_CACHE / "usr").exists():
        (folder / "usr").symlink_to(_CACHE / "usr")


def _fetched(name: str) -> tuple[str | None, str]:
    """Fetch the packages; return the path, or None and why not."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return None, "not found, and this machine has no apt-get to fetch it with"
    with _locked():
        if find(name) is None:  # another process may have been faster
            try:
                _fetch()
            except (subprocess.SubprocessError, OSError) as error:
                said = getattr(error, "stderr", None) or str(error)
                return None, f"not found, and apt-get cannot fetch it: {str(said).strip().splitlines()[-1]}"
    return find(name), "not found in Debian's packages"


@contextmanager
def _locked() -> Iterator[None]:
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch() -> None:
    """Download and unpack the packages; with package lists of our own where the machine has none."""
    try:
        _run("apt-get", "-q", "download", *_PACKAGES)
    except subprocess.CalledProcessError:
        (_CACHE / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        own = ("-o", f"Dir::State::lists={_CACHE / 'lists'}", "-o", f"Dir::Cache={_CACHE / 'apt'}")
        _run("apt-get", "-q", *own, "update")
        _run("apt-get", "-q", *own, "download", *_PACKAGES)
    for package in _CACHE.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(_CACHE))
        package.unlink()
    alertmanager = _CACHE / "usr" / "bin" / "prometheus-alertmanager"
    alertmanager.write_bytes(alertmanager.read_bytes().replace(_INSTALLED, _RELATIVE))
    shutil.rmtree(_CACHE / "lists", ignore_errors=True)


def _run(*command: str) -> None:
    subprocess.run(command, cwd=_CACHE, check=True, capture_output=True, text=True, timeout=_FETCH_SECONDS)


if __name__ == "__main__":
    missing = []
    for wanted in NAMES:
        where = find(wanted) or _fetched(wanted)[0]
        sys.stdout.write(f"{wanted}: {where or 'missing'}\n")
        missing += [] if where else [wanted]
    sys.exit(1 if missing else 0)
