"""What lies on disks: state records, model artefacts, and the disks themselves."""

from __future__ import annotations

import errno
import json
import math
import pickle
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from agents.record import source_offset
from models.artifact import model_folder
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Record, read_topic
from tests.chaos.oracle import default_core, plain
from tests.chaos.stage import Skipped, Stage, scenario
from tests.e2e.ward import PARTITIONS

__all__ = ["damaged_states", "flipped", "model_artefacts", "newest_states"]

_OTHER_MODEL = "challenge"
_MODEL = "SEPSIS_MONITOR_MODEL__NAME"
_WEIGHTS = "model.safetensors"


# -- state records


def newest_states(chaos: ChaosWard) -> list[Record]:
    """Return the best state record of each patient, those that have seen most of their log last."""
    best: dict[bytes | None, Record] = {}
    for record in read_topic(chaos.ward.bootstrap, chaos.changelog):
        at = source_offset(record.value or b"")
        if at < 0 or (record.partition, record.offset) in chaos.injected:
            continue
        if record.key not in best or at >= source_offset(best[record.key].value or b""):
            best[record.key] = record
    return sorted(best.values(), key=lambda record: source_offset(record.value or b""))


def flipped(state: bytes) -> bytes:
    """Return a record with one bit wrong."""
    middle = len(state) // 2
    return state[:middle] + bytes([state[middle] ^ 0x40]) + state[middle + 1 :]


@scenario("damaged-states")
def damaged_states(stage: Stage) -> None:
    """Write damaged records, and one under another patient's key, behind good ones: recovery passes over them."""
    with stage.ward() as chaos:
        chaos.flowing(600)
        for _ in stage.rounds(chaos):
            chaos.kill_uncommitted("worker-1")
            chaos.kill("worker-2")
            victims = _victims(newest_states(chaos)[-40:])  # of patients whose log goes on
            chaos.put_states(victims)
            chaos.note(f"{len(victims)} records damaged or under another key", hit=bool(victims))
            for instance in ("worker-1", "worker-2"):
                chaos.start(instance, wait=False)
            chaos.flowing(300)


def _victims(states: Sequence[Record]) -> list[tuple[int, bytes, bytes | None]]:
    """Return harmful records (partition, key, state) to be written behind these."""
    last = {record.partition: record for record in states}
    victims = [(record, flipped(record.value or b"")) for record in states[-30:-20]]
    victims += [(record, (record.value or b"")[:40]) for record in states[-20:-15]]
    for record in states[-15:]:  # the record of whoever has seen most, under the key of one that has seen less
        if record is not last[record.partition]:
            victims.append((record, last[record.partition].value or b""))
    return [(record.partition, record.key or b"", value) for record, value in victims]


@scenario("no-sound-state")
def no_sound_state(stage: Stage) -> None:
    """Leave patients with nothing but a damaged record, or one with a state that is not a number."""
    with stage.ward(rate=60.0) as chaos:
        chaos.flowing(200)
        for _ in stage.rounds(chaos):
            chaos.kill_uncommitted("worker-1")
            chaos.kill("worker-2")
            made = _unsound(_without_alerts(newest_states(chaos)), stage.seed)
            pending = chaos.pending()
            chaos.seed_states(made)
            for instance in ("worker-1", "worker-2"):
                chaos.start(instance, wait=False)
            _observe(chaos, made)
            resets = sum(chaos.counter(instance, "state_resets_total") for instance in ("worker-1", "worker-2"))
            chaos.note("patients with nothing but a damaged state", hit=resets > 0, pending=pending)
            stage.demand(resets >= len(made), "lost-event", f"{resets:.0f} of {len(made)} damaged states were flagged")
    _demand_numbers(stage)


def _observe(chaos: ChaosWard, patients: Iterable[bytes]) -> None:
    """Send 20 hours of the patients' heart rates, and wait until they are worked off."""
    for hour in range(20):
        for key in patients:
            body = {"patient_id": key.decode(), "time": f"2026-11-20T{hour:02d}:07:00Z", "heart_rate": 80 + hour}
            chaos.feed.send(chaos.ward.topics.observations, key, json.dumps(body).encode())
    chaos.await_worked_off()


def _demand_numbers(stage: Stage) -> None:
    for record in (*stage.evidence.scores, *stage.evidence.alerts):
        said = plain(record.value)
        if said.get("source") != "technical":  # such an alert shows no risk
            risk: float | None = said["risk"]
            stage.demand(
                risk is not None and math.isfinite(risk), "double-step", "a risk that is no number was published"
            )


def _without_alerts(states: Sequence[Record]) -> bytes:
    """Return the newest state of a patient who never had an alert: under another key it would go on unexplained."""
    layout = default_core(PARTITIONS).layout
    for record in reversed(states):
        state = record.value or b""
        if len(state) == layout.record_bytes and not np.frombuffer(state, layout.dtype)["episode"].any():
            return state
    raise AssertionError


def _unsound(donor: bytes, name: int) -> dict[bytes, bytes]:
    """Return states, by patient, from which nobody can go on."""
    key = f"not-a-number-{name}".encode()
    return {
        f"damaged-{name}-1".encode(): flipped(donor),
        f"damaged-{name}-2".encode(): donor[:100],
        key: _not_a_number(donor, key),
    }


def _not_a_number(state: bytes, key: bytes) -> bytes:
    """Return a sound record of this patient whose hidden state is not a number."""
    layout = default_core(PARTITIONS).layout
    rows = np.frombuffer(state, layout.dtype).copy()
    rows["key"], rows["offset"] = key, -1
    rows["state"]["h"] = np.nan
    return layout.dump(rows)[0]


# -- models


class _Payload:
    """Unpickled, it writes a file: what a malicious model would do."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._canary,)


def _truncated(folder: Path) -> None:
    weights = folder / _WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])


def _swapped(folder: Path) -> None:
    shutil.copy(model_folder(_OTHER_MODEL) / _WEIGHTS, folder / _WEIGHTS)


def _pickled(folder: Path) -> None:
    (folder / _WEIGHTS).write_bytes(pickle.dumps(_Payload(folder.parent / "canary")))


@scenario("model-artefacts", most_rounds=3, ward_rounds=1)
def model_artefacts(stage: Stage) -> None:
    """Start a worker with a truncated, a swapped and a pickled model: it refuses, and the other one goes on."""
    with stage.ward(rate=120.0, replays=False, SEPSIS_MONITOR_LOG__FORMAT="json") as chaos:  # nobody is killed
        for damage in (_truncated, _swapped, _pickled):
            folder = chaos.ward.folder / damage.__name__ / "bedside"
            shutil.copytree(model_folder("bedside"), folder)
            damage(folder)
            chaos.terminate("worker-2")
            code, line = chaos.refused("worker-2", **{_MODEL: str(folder)})
            chaos.note(f"model {damage.__name__}", hit=code == 1)
            stage.demand(code == 1 and str(folder) in line, "lost-event", f"exit code {code}: {line}")
            stage.demand(not (folder.parent / "canary").exists(), "cross-patient", "the model file was executed")
            chaos.start("worker-2")
        chaos.flowing(300)


# -- disks


@contextmanager
def _small_disk(folder: Path, *, writable: bool) -> Iterator[Path]:
    """Mount a file system of 64 kB that is full, or read-only. Skipped where this user may not mount."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        msg = f"needs the right to mount a small file system: {mounted.stderr.decode().strip()}"
        raise Skipped(msg)
    try:
        if writable:
            for name in ("worker-1.log", "worker-2.log"):
                (folder / name).touch()
            _fill(folder / "filler")
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 512)
        except OSError:
            return


def _is_full(path: Path) -> bool:
    """Tell whether the disk takes nothing more, not a byte."""
    try:
        with path.open("ab", buffering=0) as file:
            file.write(b"\n")
    except OSError as error:
        return error.errno == errno.ENOSPC
    return False


@scenario("disk-full", most_rounds=3, ward_rounds=1)
def disk_full(stage: Stage) -> None:
    """Let the disk of a worker's data and log be full: it goes on."""
    disk = stage.grounds.folder / f"full-{stage.seed}"
    with _small_disk(disk, writable=True), stage.ward(rate=120.0) as chaos:
        chaos.kill("worker-1")
        log = chaos.ward.folder / "worker-1.log"
        log.unlink()
        log.symlink_to(disk / "worker-1.log")
        pending = chaos.pending()
        chaos.start("worker-1", SEPSIS_MONITOR_WORKER__DATA_DIR=str(disk))
        chaos.flowing(400)
        lost = log.stat().st_size == 0 < (chaos.ward.folder / "worker-2.log").stat().st_size
        chaos.note("disk of data and log full", hit=lost and _is_full(log), pending=pending)
        chaos.kill_uncommitted("worker-2")
        chaos.start("worker-2", wait=False)


@scenario("disk-read-only", most_rounds=3, ward_rounds=1)
def disk_read_only(stage: Stage) -> None:
    """Give a worker a disk that it cannot write: it refuses to start and names the setting; the other one goes on."""
    disk = stage.grounds.folder / f"read-only-{stage.seed}"
    with _small_disk(disk, writable=False), stage.ward(rate=120.0, replays=False) as chaos:  # nobody is killed
        chaos.terminate("worker-2")
        begun = time.monotonic()
        code, line = chaos.refused("worker-2", SEPSIS_MONITOR_WORKER__DATA_DIR=str(disk / "data"))
        chaos.note("disk read-only", hit=code != 0)
        stage.demand(code == 1 and "worker.data_dir" in line, "lost-event", f"exit code {code}: {line}")
        stage.result.notes.append(f"refused a read-only disk after {time.monotonic() - begun:.1f} s")
        chaos.start("worker-2")
        chaos.flowing(300)
