"""`train`: make a model artefact from labelled stays."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.artifact import ArtifactError, load_model
from models.calibration import CalibrationError
from models.cohort import Cohort, CohortError, read_cohort
from models.laboratory import Laboratory, read_laboratory
from models.release import release
from models.split import Split, split
from models.training_config import TrainingConfig, TrainingConfigError, load_training_config
from monitor.errors import Failure, failing_on

if TYPE_CHECKING:
    from models.manifest import Manifest
    from models.processes import Processes
    from models.stay_model import StayModel
    from models.training import Trained

__all__ = ["command"]

_CHECKPOINT = "checkpoint.safetensors"
_DEVICES = ("auto", "cpu", "cuda")  # `models.processes` has them too, but imports torch
_LIBRARIES = ("torch", "numpy", "polars")


@click.command(name="train")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the artefact to write."
)
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of the training; default: the shipped one.")
@click.option("--seed", type=click.IntRange(min=0), help="Another seed than the configuration's.")
@click.option(
    "--device", type=click.Choice(_DEVICES), default="auto", show_default=True, help="auto: a GPU where there is one."
)
@click.option("--name", default="bedside", show_default=True, help="Name of the model.")
@click.option("--version", default="1.0.0", show_default=True, help="Version of the model.")
@click.option("--restart", is_flag=True, help="Start anew where an interrupted run left a checkpoint.")
@click.option("--overwrite", is_flag=True, help="Replace the model that the folder holds.")
@click.option(
    "--refit",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Artefact of the same configuration and data: learn from its test stays too, and take its figures over.",
)
@click.option(
    "--keep-out",
    type=click.Path(exists=True, path_type=Path),
    help="With --refit: a file of test stays that are not learned from, so that the model can be shown on them.",
)
@click.option(
    "--hospital", help="Learn from the stays of this hospital only; those of others give figures on a place never seen."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(
    *,
    file: Path,
    out: Path,
    config: Path | None,
    seed: int | None,
    device: str,
    name: str,
    version: str,
    restart: bool,
    overwrite: bool,
    refit: Path | None,
    keep_out: Path | None,
    hospital: str | None,
    as_json: bool,
) -> None:
    """Train on the stays of FILE, calibrate, choose thresholds, test, and write the artefact into a folder.

    FILE is a .parquet table in the columns of the PhysioNet/CinC Challenge 2019 with SepsisLabel, or a folder of its
    .psv files. Its stays are split by a fixed seed; the test part is used for the reported figures only. A run that is
    interrupted goes on where it was when the command is given again. A folder that holds a model is left as it is,
    unless --overwrite is given.

    On a machine with several GPUs, torchrun starts a process for each, and they share the work:
    torchrun --nproc-per-node=GPUS -m monitor train FILE --out FOLDER

    Example: sepsis-monitor train p19.parquet --out my-model
    """
    if (out / "manifest.json").exists() and not overwrite:
        msg = f"{out} holds a model already; name another folder with --out, or give --overwrite to replace the model"
        raise Failure(msg)
    if hospital is not None and refit is not None:
        msg = "--refit learns from the test stays, which --hospital is to be measured on: give one of them"
        raise click.UsageError(msg)
    with failing_on(ArtifactError, CalibrationError, CohortError, TrainingConfigError):
        settings = load_training_config(config)
        if seed is not None:
            settings = msgspec.structs.replace(settings, seed=seed)
        cohort = read_cohort(file)
        parts = _parts(cohort, hospital=hospital, refit=refit is not None, keep_out=keep_out)
        measured = None if refit is None else load_model(str(refit)).manifest
        cohort.select(parts.train).check_learnable(every_sign=True)
        trained = _train(cohort, read_laboratory(file), parts, settings, out, device=device, restart=restart)
        if trained is None:
            return
        origin = _origin(file, cohort, parts, settings, trained) | ({"hospital": hospital} if hospital else {})
        model = _release(
            out, trained, cohort, parts, settings, name=name, version=version, origin=origin, measured=measured
        )
    _remove_checkpoint(out)
    _report(model, out, as_json=as_json)


def _parts(cohort: Cohort, *, hospital: str | None, refit: bool, keep_out: Path | None) -> Split:
    """Return which stays do what: of one hospital only, or with the test stays learned from, too."""
    parts = split(cohort)
    if hospital is not None:
        parts = parts.within(cohort, hospital)
    if refit:
        parts = parts.refit(cohort, frozenset(read_cohort(keep_out).patient_ids if keep_out else ()))
    return parts


def _train(
    cohort: Cohort,
    laboratory: Laboratory | None,
    parts: Split,
    config: TrainingConfig,
    out: Path,
    *,
    device: str,
    restart: bool,
) -> Trained | None:
    """Return what came of the training; None in all processes but the first, whose work ends here."""
    from models.checkpoint import CheckpointError  # noqa: PLC0415  (torch is for this command alone)
    from models.curves import draw_curves  # noqa: PLC0415  (so is matplotlib)
    from models.processes import ProcessesError, join  # noqa: PLC0415
    from models.teacher import TeacherError  # noqa: PLC0415
    from models.training import train  # noqa: PLC0415

    with failing_on(CheckpointError, ProcessesError, TeacherError), join(device) as processes:
        if restart:
            _restart(out, processes)
        with _progress(processes) as show:
            trained = train(
                cohort.select(parts.train),
                cohort.select(parts.validation),
                config,
                laboratory=laboratory.rows(np.repeat(parts.train, cohort.lengths)) if laboratory else None,
                checkpoint=out / _CHECKPOINT,
                progress=show,
                processes=processes,
            )
    if not processes.is_first:
        return None
    draw_curves(out / "curves.png", trained.history, clock=config.clock)
    return trained


def _release(
    out: Path,
    trained: Trained,
    cohort: Cohort,
    parts: Split,
    config: TrainingConfig,
    *,
    name: str,
    version: str,
    origin: dict[str, object],
    measured: Manifest | None,
) -> StayModel:
    """Write the artefact; where nothing was learned that can be calibrated, the checkpoint goes."""
    with _discarding_what_learned_nothing(out), _spinner() as say:
        return release(
            out,
            weights=trained.weights,
            scales=trained.scales,
            hour_log_odds=trained.hour_log_odds,
            cohort=cohort,
            parts=parts,
            config=config,
            name=name,
            version=version,
            origin=origin,
            measured=measured,
            progress=say,
        )


def _restart(out: Path, processes: Processes) -> None:
    if processes.is_first:
        _remove_checkpoint(out)
    processes.wait()


def _remove_checkpoint(out: Path) -> None:
    for name in (_CHECKPOINT, f"teacher-{_CHECKPOINT}", f"tutor-{_CHECKPOINT}"):
        (out / name).unlink(missing_ok=True)


@contextmanager
def _discarding_what_learned_nothing(out: Path) -> Iterator[None]:
    """Remove the checkpoint where the training cannot be calibrated: the next run would only go on to the same end."""
    try:
        yield
    except CalibrationError:
        _remove_checkpoint(out)
        raise


def _origin(file: Path, cohort: Cohort, parts: Split, config: TrainingConfig, trained: Trained) -> dict[str, object]:
    """Return what the manifest says of how the model came to be."""
    return {
        "data_sha256": _sha256(file),
        "stays": {name: int(part.sum()) for name, part in parts.parts().items()},
        "septic_stays": {name: int(cohort.septic[part].sum()) for name, part in parts.parts().items()},
        "config": msgspec.to_builtins(config),
        "seed": config.seed,
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "epochs": [msgspec.to_builtins(epoch) for epoch in trained.history],
    }


def _sha256(path: Path) -> str:
    """Return the digest of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.psv")):
        digest.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _report(model: StayModel, out: Path, *, as_json: bool) -> None:
    manifest = msgspec.to_builtins(model.manifest)
    summary = {
        "name": model.name,
        "version": model.version,
        "digest": model.digest,
        "folder": str(out),
        "thresholds": manifest["thresholds"],
        "metrics": manifest["metrics"],
    }
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    click.echo(f"{model.name} {model.version} in {out}, {model.digest}")
    thresholds = model.manifest.thresholds
    click.echo(f"pager: raise at {thresholds.pager_raise}, resolve below {thresholds.pager_resolve}")
    _print_figures("test stays", model.manifest.metrics["test_stays"])
    for name, figures in model.manifest.metrics.get("other_hospitals", {}).items():
        _print_figures(f"stays of hospital {name}", figures)


def _print_figures(where: str, figures: dict[str, Any]) -> None:
    click.echo(f"on {figures['stays']} {where}, {figures['septic_stays']} septic, with 95 % intervals:")
    for view in ("all", "three_vital_signs", "without_admission", "hours_only"):
        figure = figures[view]["auroc_time_adjusted"]
        click.echo(
            f"  {view.replace('_', ' '):<18} time-adjusted AUROC {figure['value']:.3f}"
            f" ({figure['low']:.3f} to {figure['high']:.3f})"
        )


@contextmanager
def _progress(processes: Processes) -> Iterator[Callable[[int, int, str], None]]:
    """Yield what moves a bar on stderr, where that is a terminal and this the process that shows it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    shown = console.is_terminal and processes.is_first
    with Progress(*columns, console=console, disable=not shown) as progress:
        bar = progress.add_task("training", total=None)

        def show(done: int, total: int, what: str) -> None:
            progress.update(bar, completed=done, total=total, description=f"training, {what}")

        yield show


@contextmanager
def _spinner() -> Iterator[Callable[[str], None] | None]:
    """Yield what shows the work in hand, on stderr; None where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with console.status("calibrating") as status:
        yield status.update
