"""The processes that train one model together: one alone, or as many as `torchrun` started, by torch's own DDP.

All of them hold the same stays and weights and make the same draws. Of each update, every process computes the loss of
its share of the sequences; DistributedDataParallel (Li et al., VLDB 2020) takes the mean of their gradients during the
backward pass, and all make the same step. What is computed once is computed by the first and sent to the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from models.sequences import Sequences

__all__ = ["DEVICES", "Processes", "ProcessesError", "join"]

DEVICES = ("auto", "cpu", "cuda")
_CPU = torch.device("cpu")
_PATIENCE = timedelta(hours=2)  # for the first process, which alone trains the trees


class ProcessesError(RuntimeError):
    """The training cannot run so here: the message says why and what to do."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together, and the device that it computes on."""

    rank: int = 0
    count: int = 1
    device: torch.device = _CPU

    @property
    def is_first(self) -> bool:
        """Whether this is the process that validates, writes and prints."""
        return self.rank == 0

    def share(self, sequences: Sequences, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's share of the chosen sequences (indices): as many long ones as the others have.

        Raises ProcessesError where there are too few for every process to have one.
        """
        if len(chosen) < self.count:
            msg = f"{self.count} processes cannot share an update of {len(chosen)} sequences; give a larger group_size."
            raise ProcessesError(msg)
        return chosen[np.argsort(sequences.lengths[chosen], kind="stable")][self.rank :: self.count]

    def together(self, net: nn.Module) -> nn.Module:
        """Return the network as it is to be called: its backward pass then gives the mean gradient of all processes."""
        if self.count == 1:
            return net
        return DistributedDataParallel(net, device_ids=[self.device.index] if self.device.type == "cuda" else None)

    @staticmethod
    def apart(net: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which a backward pass of `together`'s network only adds to this process's gradients."""
        return net.no_sync() if isinstance(net, DistributedDataParallel) else nullcontext()

    def sum(self, value: float) -> float:
        """Return the sum of every process's value."""
        if self.count == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(total)
        return float(total)

    def from_first(self, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what the first process makes, a tensor on the CPU with one axis; the others wait for it."""
        if self.count == 1:
            return make()
        made = make() if self.is_first else torch.zeros(0)
        kinds = (torch.float32, torch.float64, torch.uint8)
        head = torch.tensor([len(made), kinds.index(made.dtype)])
        distributed.broadcast(head, src=0)
        size, kind = head.tolist()
        sent = made.contiguous() if self.is_first else torch.zeros(size, dtype=kinds[kind])
        distributed.broadcast(sent, src=0)
        return sent

    def wait(self) -> None:
        """Return when every process has come here."""
        self.sum(0.0)


@contextmanager
def join(device: str = "auto") -> Iterator[Processes]:
    """Yield this process among those that `torchrun` started, or alone; CUDA is taken where it is, unless told not to.

    Processes speak by gloo between processors and by NCCL between GPUs. `device` is one of DEVICES. Raises
    ProcessesError where there is no GPU for it.
    """
    count, here = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if cuda and here >= torch.cuda.device_count():
        msg = (
            f"{torch.cuda.device_count()} GPUs are not enough: every process needs one of its own. Start fewer, or "
            "compute on the CPU."
        )
        raise ProcessesError(msg)
    chosen = torch.device("cuda", here) if cuda else _CPU
    if count == 1:
        yield Processes(device=chosen)
        return
    if cuda:
        torch.cuda.set_device(chosen)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), chosen)
    finally:
        distributed.destroy_process_group()
