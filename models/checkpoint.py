"""The state of an interrupted training run in one safetensors file, its figures as JSON in the file's header."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

if TYPE_CHECKING:
    import torch

__all__ = ["Checkpoint", "CheckpointError", "Epoch", "read_checkpoint", "write_checkpoint"]


class CheckpointError(ValueError):
    """A checkpoint is damaged or of another run: the message names the file and what to do."""


class Epoch(msgspec.Struct, frozen=True):
    """What came of one epoch; areas under the curve are of the validation stays, time-adjusted without clock."""

    loss: float
    auroc_all: float  # with all vital signs
    auroc_three: float  # with heart rate, respiratory rate and temperature only

    @property
    def score(self) -> float:
        """The mean of both: the model is to serve both kinds of ward."""
        return (self.auroc_all + self.auroc_three) / 2


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the rest of a run depends on, after a whole epoch."""

    identity: str  # of the stays and the configuration
    history: tuple[Epoch, ...]
    tensors: Mapping[str, torch.Tensor]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; a crash leaves the file before or the file after, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    header = {"identity": checkpoint.identity, "history": msgspec.json.encode(checkpoint.history).decode()}
    save_file(dict(checkpoint.tensors), unfinished, metadata=header)
    os.replace(unfinished, path)


def read_checkpoint(path: Path, identity: str) -> Checkpoint:
    """Return the checkpoint in a file; raises CheckpointError where it is not one of the run `identity`."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        history = msgspec.json.decode(header.get("history", ""), type=tuple[Epoch, ...])
    except (SafetensorError, OSError, msgspec.MsgspecError) as error:
        msg = f"{path}: not a checkpoint of a training run ({error}); remove it to start anew."
        raise CheckpointError(msg) from error
    if header.get("identity") != identity:
        msg = f"{path}: a checkpoint of other stays or another configuration; remove it, or write to another folder."
        raise CheckpointError(msg)
    return Checkpoint(identity, history, tensors)
