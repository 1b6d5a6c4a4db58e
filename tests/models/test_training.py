"""Training: it learns, twice the same, and an interrupted run ends with the weights of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from models import teacher
from models.checkpoint import CheckpointError
from models.curves import draw_curves
from models.features import CLOCK_NAMES, FEATURE_NAMES
from models.healthy_stays import healthy_stays
from models.laboratory import COLUMNS, Laboratory
from models.learner import _pairs
from models.lstm import Lstm, Weights
from models.sequences import feature_sequences, scaling_of
from models.training import Trained, teacher_file, train, tutor_file
from models.training_config import TrainingConfig, TrainingConfigError, load_training_config
from models.tutor import Tutor
from tests.models.stays import made_up_cohort

CONFIG = msgspec.structs.replace(
    load_training_config(),
    hidden=8,
    epochs=4,
    patience=4,
    group_size=16,
    learning_rate=0.02,
    averaging=0.8,
    healthy_share=0.0,
    tutor_share=0.0,
)


def run(config: TrainingConfig = CONFIG, checkpoint: Path | None = None, seed: int = 0) -> Trained:
    training = made_up_cohort(seed, stays=150, longest=30, signal=25.0)
    validation = made_up_cohort(1, stays=60, longest=30, signal=25.0)
    return train(training, validation, config, checkpoint=checkpoint)


def telling_laboratory() -> Laboratory:
    """Return laboratory values of which one gives the label away, in a third of the rows."""
    training = made_up_cohort(0, stays=150, longest=30, signal=25.0)
    rng = np.random.default_rng(0)
    values = np.full((training.n_rows, len(COLUMNS)), np.nan, dtype=np.float32)
    assert training.labels is not None
    values[:, COLUMNS.index("Lactate")] = np.where(rng.random(training.n_rows) < 0.3, 1 + 4 * training.labels, np.nan)
    return Laboratory(values)


def taught(checkpoint: Path | None = None) -> Trained:
    """Return a run that a teacher has a part in."""
    training = made_up_cohort(0, stays=150, longest=30, signal=25.0)
    validation = made_up_cohort(1, stays=60, longest=30, signal=25.0)
    config = msgspec.structs.replace(CONFIG, epochs=1, teacher_folds=2, teacher_trees=10, teacher_leaf_rows=20)
    return train(training, validation, config, laboratory=telling_laboratory(), checkpoint=checkpoint)


def same(one: Weights, two: Weights) -> bool:
    return all(np.array_equal(one.tensors()[name], two.tensors()[name]) for name in one.tensors())


@pytest.fixture(scope="module")
def undisturbed() -> Trained:
    return run()


def test_it_learns_what_there_is_to_learn(undisturbed: Trained) -> None:
    assert undisturbed.history[-1].auroc_all > 0.8
    assert max(epoch.score for epoch in undisturbed.history) > undisturbed.history[0].score
    assert undisturbed.weights.on_grid().check() is None


def test_the_same_stays_and_seed_give_the_same_weights(undisturbed: Trained) -> None:
    again = run()
    assert same(again.weights, undisturbed.weights)
    assert again.history == undisturbed.history
    assert not same(run(msgspec.structs.replace(CONFIG, seed=8)).weights, undisturbed.weights)


def test_a_run_that_is_killed_goes_on_to_the_same_weights(undisturbed: Trained, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    code = (
        "from pathlib import Path; import sys; from tests.models.test_training import run; "
        "run(checkpoint=Path(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(checkpoint)], cwd=Path(__file__).parents[2]) as process:
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert checkpoint.exists()
    resumed = run(checkpoint=checkpoint)
    assert same(resumed.weights, undisturbed.weights)
    assert resumed.history == undisturbed.history


def test_patience_ends_a_run_early_with_the_best_weights() -> None:
    config = msgspec.structs.replace(CONFIG, epochs=30, patience=1, learning_rate=0.05)
    trained = run(config)
    assert len(trained.history) < 30
    assert trained.history[-1].score < max(epoch.score for epoch in trained.history)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    config = msgspec.structs.replace(CONFIG, epochs=1)
    run(config, checkpoint)
    with pytest.raises(CheckpointError, match="other stays or another configuration"):
        run(msgspec.structs.replace(config, weight_decay=0.2), checkpoint)
    with pytest.raises(CheckpointError, match="other stays or another configuration"):
        run(config, checkpoint, seed=5)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        run(config, checkpoint)


def test_a_teacher_changes_what_is_learned_and_is_heard_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    alone = run(msgspec.structs.replace(CONFIG, epochs=1))
    first = taught(checkpoint)
    assert not same(first.weights, alone.weights)
    assert same(taught().weights, first.weights)
    checkpoint.unlink()
    assert teacher_file(checkpoint).exists()
    monkeypatch.delattr(teacher.Teacher, "_judge")  # what it said is on file: it is not asked again
    assert same(taught(checkpoint).weights, first.weights)


def test_a_model_with_the_clock_learns_and_takes_the_hours_odds_along() -> None:
    trained = run(msgspec.structs.replace(CONFIG, clock=True))
    assert trained.history[-1].auroc_all > 0.8
    assert len(trained.hour_log_odds) == CONFIG.hour_pooling + 1
    assert trained.weights.inputs.shape[1] == len(FEATURE_NAMES) + len(CLOCK_NAMES)
    assert run().hour_log_odds == ()


def mean_logit(lstm: Lstm, x: NDArray[np.float32], state: NDArray[np.float32]) -> float:
    return float(lstm.logit(lstm.step(x, state, state)[0]).mean())


def test_made_up_healthy_stays_lower_the_risk_of_health_towards_the_ceiling(undisturbed: Trained) -> None:
    shown = run(msgspec.structs.replace(CONFIG, healthy_share=0.9, healthy_weight=1.0, healthy_odds=0.1))
    made_up, _ = healthy_stays(50, np.random.default_rng(3), made_up_cohort(0, stays=50))
    healthy = feature_sequences(made_up, scaling_of(shown.scales))
    before, after = (Lstm(trained.weights.on_grid()) for trained in (undisturbed, shown))
    x = healthy.x[healthy.starts]  # the first hour of each
    nothing = np.zeros((len(x), CONFIG.hidden), dtype=np.float32)
    assert np.log(0.1) < mean_logit(after, x, nothing) < mean_logit(before, x, nothing) - 0.3
    assert shown.history[-1].auroc_all > 0.8


def test_the_curves_are_a_picture(undisturbed: Trained, tmp_path: Path) -> None:
    draw_curves(tmp_path / "curves.png", undisturbed.history, clock=False)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1", "missing required field"),
        ("surprise = 1", "missing required field|unknown field"),
        ("seed = ", "not a training configuration"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "training.toml"
    path.write_text(text)
    with pytest.raises(TrainingConfigError, match=message):
        load_training_config(path)
    with pytest.raises(TrainingConfigError, match=r"none\.toml"):
        load_training_config(tmp_path / "none.toml")


def test_the_challenges_settings_differ_in_the_clock() -> None:
    challenge = load_training_config(Path(__file__).parents[2] / "models" / "challenge.toml")
    assert challenge.clock
    assert not load_training_config().clock


def test_a_key_that_is_misspelt_or_out_of_range_is_named(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "models" / "training.toml").read_text()
    path = tmp_path / "training.toml"
    path.write_text(shipped.replace("input_dropout = 0.0", "input_droput = 0.0"))
    with pytest.raises(TrainingConfigError, match="input_dro"):
        load_training_config(path)
    path.write_text(shipped.replace("input_dropout = 0.0", "input_dropout = 1.5"))
    with pytest.raises(TrainingConfigError, match="input_dropout"):
        load_training_config(path)


def test_a_tutor_changes_what_is_learned_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    config = msgspec.structs.replace(
        CONFIG, epochs=1, tutor_share=0.8, tutor_views=2, tutor_trees=10, tutor_leaf_rows=20
    )
    first = run(config, checkpoint)
    assert not same(first.weights, run(msgspec.structs.replace(config, tutor_share=0.0)).weights)
    assert same(run(config).weights, first.weights)
    checkpoint.unlink()
    assert tutor_file(checkpoint).exists()
    monkeypatch.delattr(Tutor, "learn")  # it is on file: it is not trained again
    assert same(run(config, checkpoint).weights, first.weights)


def test_pairs_are_of_one_hour_and_of_every_row_about_once() -> None:
    hour = np.repeat(np.arange(5, dtype=np.int32), 20)[np.random.default_rng(0).permutation(100)]
    one, two = _pairs(hour, np.random.default_rng(1))
    assert (hour[one] == hour[two]).all()
    assert (one != two).all()
    assert len(one) == 95
    assert len(set(one.tolist())) == len(set(two.tolist())) == 95


def test_pairs_change_what_is_learned(undisturbed: Trained) -> None:
    paired = run(msgspec.structs.replace(CONFIG, order_weight=1.0))
    assert not same(paired.weights, undisturbed.weights)
    assert paired.history[-1].auroc_all > 0.8
