"""Several processes train one model together, by gloo on the CPU, and get what one alone gets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from models.processes import Processes, ProcessesError, join
from models.sequences import Sequences
from models.training import Trained, train
from tests.models.stays import made_up_cohort
from tests.models.test_training import CONFIG, telling_laboratory

_ROOT = Path(__file__).parents[2]
_OTHER = "from tests.models.test_processes import other; import sys; other(sys.argv[1])"


def taught(processes: Processes, checkpoint: Path | None = None) -> Trained:
    """Train with a teacher's and a tutor's help."""
    config = msgspec.structs.replace(
        CONFIG,
        **{"epochs": 2, "order_weight": 0.0, "teacher_folds": 2, "teacher_trees": 5, "teacher_leaf_rows": 20},
        **{"tutor_share": 0.5, "tutor_views": 1, "tutor_trees": 5, "tutor_leaf_rows": 20},
    )
    training, validation = made_up_cohort(0, 150, longest=30, signal=25.0), made_up_cohort(1, 60, longest=30)
    laboratory = telling_laboratory()
    return train(training, validation, config, laboratory=laboratory, checkpoint=checkpoint, processes=processes)


def other(path: str) -> None:
    """Be the second process, and write the weights that it got."""
    with join("cpu") as processes:
        save_file(taught(processes).weights.tensors(), path)


def test_two_processes_get_what_one_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightgbm")
    alone = taught(Processes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # as torchrun has it
    for name, value in (shared | {"RANK": "0", "LOCAL_RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    environment = os.environ | {"RANK": "1", "LOCAL_RANK": "1", "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-c", _OTHER, str(tmp_path / "second.safetensors")]
    with subprocess.Popen(command, env=environment, cwd=_ROOT) as second:
        try:
            with join("cpu") as processes:
                first = taught(processes, tmp_path / "checkpoint.safetensors")
            assert second.wait(60) == 0
        finally:
            second.kill()
    assert (processes.count, processes.is_first) == (2, True)
    assert (tmp_path / "checkpoint.safetensors").exists()
    got = load_file(tmp_path / "second.safetensors")
    for name, values in alone.weights.tensors().items():
        assert np.array_equal(first.weights.tensors()[name], got[name])
        assert np.allclose(got[name], values, atol=1e-5)
    for one, two in zip(alone.history, first.history, strict=True):
        assert msgspec.structs.astuple(two) == pytest.approx(msgspec.structs.astuple(one), abs=1e-5)


def test_a_share_has_long_and_short_sequences_and_every_one_is_in_one() -> None:
    lengths = np.array([3, 50, 7, 40, 1, 9])
    sequences = Sequences(np.zeros((110, 2), dtype=np.float32), np.cumsum(lengths) - lengths, lengths, np.arange(6))
    chosen = np.array([5, 0, 1, 3, 4])
    shares = [Processes(rank, 2).share(sequences, chosen) for rank in (0, 1)]
    assert [share.tolist() for share in shares] == [[4, 5, 1], [0, 3]]
    with pytest.raises(ProcessesError, match="group_size"):
        Processes(0, 6).share(sequences, chosen)


def test_a_process_alone_needs_no_other() -> None:
    with join("cpu") as processes:
        assert processes.is_first
        assert processes.sum(2.5) == 2.5
        assert processes.from_first(lambda: torch.ones(3)).tolist() == [1, 1, 1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_the_cpu_is_taken_unless_a_gpu_was_asked_for() -> None:
    with join() as processes:
        assert processes.device.type == "cpu"
    with pytest.raises(ProcessesError, match="GPU"), join("cuda"):
        pass
