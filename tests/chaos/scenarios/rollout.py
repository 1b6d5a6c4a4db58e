"""A model with another hidden size, rolled out over live states and taken back, while who carries them over dies."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from agents.exits import Exit
from agents.record import source_offset
from models.artifact import save_model, untrained_model
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Record, read_topic
from tests.chaos.oracle import Oracle, default_core, plain
from tests.chaos.stage import Stage, scenario
from tests.e2e.ward import PARTITIONS
from tests.models.descriptions import description_of

__all__ = ["model_rollout"]

_MODEL = "SEPSIS_MONITOR_MODEL__NAME"
_SHIPPED = "bedside"
_HIDDEN = 16  # units; all that are shipped have 64
_LIVED = 200  # records that are worked off under a model before the next one comes
_CUT_SHORT = {Exit.NOT_DRAINED, Exit.NOT_OWNER}  # by the group that shares out anew, or a slow machine
_STOPS = 3

_Eras = list[tuple[dict[int, int], str]]  # from which offset of each partition on which model decides


def _small_model(folder: Path) -> str:
    """Write an untrained artefact with another hidden size, and return its folder."""
    model = untrained_model(2, hidden=_HIDDEN)
    description = description_of(model.manifest, name="small", version="0.0.1")
    save_model(folder, model.weights, description)
    return str(folder)


@scenario("model-rollout")
def model_rollout(stage: Stage) -> None:
    """Roll a model with another hidden size out over live states, and back, dying on each way; alerts are kept."""
    small = _small_model(stage.grounds.folder / f"small-{stage.seed}")
    cores = {name: default_core(PARTITIONS, name) for name in (_SHIPPED, small)}
    eras: _Eras = []

    def oracle(_: ChaosWard) -> Oracle:
        return Oracle(cores[_SHIPPED], [(at, cores[model]) for at, model in eras])

    # Who dies has carried states over and sent nothing of that. Whether a piece before that one was stored, and not
    # committed, is a matter of luck, and so is whether anything is read again.
    with stage.ward(rate=120.0, oracle=oracle, replays=None) as chaos:
        chaos.flowing(300)
        again = 0
        for _ in stage.rounds(chaos):
            for model in (small, _SHIPPED):
                again += _change(chaos, model, eras)
                chaos.revive()
                chaos.flowing(_LIVED)
    sizes = {cores[name].layout.record_bytes for name in cores}
    written = {len(record.value or b"") for record in stage.evidence.changelog}
    stage.empty_unless(len(sizes & written) == len(cores), f"of records of {sizes} bytes only {sizes & written} came")
    stage.result.notes.append(f"{again} stops were cut short, and made once more")
    _demand_kept(stage)


def _change(chaos: ChaosWard, model: str, eras: _Eras) -> int:
    """Stop all workers, and let one begin with another model that dies as it carries states over.

    Return how many stops had to be made once more.
    """
    again = sum(_end_cleanly(chaos, instance) for instance in ("worker-1", "worker-2"))
    eras.append((_decided_until(chaos), model))
    chaos.common[_MODEL] = model
    marker = chaos.arm("worker-1", "swapping", chaos.random.randint(1, 2))
    chaos.await_crash("worker-1", marker, f"swapping to {Path(model).name}")
    return again


def _decided_until(chaos: ChaosWard) -> dict[int, int]:
    """Return the offset in each partition from which on nobody has decided anything yet.

    A stop waits for the piece in hand. Of a chunk that it cut short the states are stored as far as it came, and
    nothing is committed.
    """
    with chaos.positions() as positions:
        until = dict(positions.committed(chaos.ward.topics.observations))
    for record in read_topic(chaos.ward.bootstrap, chaos.changelog):
        until[record.partition] = max(until.get(record.partition, 0), source_offset(record.value or b"") + 1)
    return until


def _end_cleanly(chaos: ChaosWard, instance: str) -> int:
    """Stop a worker that has stored whatever it told; return how many stops were cut short, and made once more.

    One that ended by itself may have told of what it did not store: under the same model that is worked off first.
    """
    codes = [chaos.terminate(instance)]
    while codes[-1] in _CUT_SHORT and len(codes) < _STOPS:
        chaos.start(instance)
        chaos.await_worked_off()
        codes.append(chaos.terminate(instance))
    assert codes[-1] == 0, f"{instance} did not end cleanly before the change: exit codes {codes}"
    return len(codes) - 1


def _demand_kept(stage: Stage) -> None:
    changes = list(_changes(stage.evidence.alerts))
    for before in ("bedside", "small"):
        kept = sum(name == before for name, _ in changes)
        stage.empty_unless(kept > 0, f"no alert that the model {before} knew lived on under the other one")
        stage.result.notes.append(f"{kept} alerts went on when {before} was replaced")


def _changes(alerts: Iterable[Record]) -> Iterable[tuple[str, str]]:
    """Yield the models before and after, each time that an alert's next event comes from another one."""
    told: dict[str, dict[int, str]] = {}
    for record in alerts:
        body = plain(record.value)
        if body["transition"] != "rejected":  # an answer to a command moves nothing
            told.setdefault(body["alert_id"], {})[body["sequence"]] = body["model"]["name"]
    for events in told.values():
        names = [events[number] for number in sorted(events)]
        yield from ((one, other) for one, other in pairwise(names) if one != other)
