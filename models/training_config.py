"""The settings of a training run, read from one TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

__all__ = ["TrainingConfig", "TrainingConfigError", "load_training_config"]

_SHIPPED = Path(__file__).parent / "training.toml"

_Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
_Count = Annotated[int, msgspec.Meta(ge=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class TrainingConfigError(ValueError):
    """The file cannot be used: the message names the file and the key."""


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting of a run; `training.toml` says what each means."""

    seed: Annotated[int, msgspec.Meta(ge=0)]
    clock: bool
    hidden: _Count
    input_dropout: _Share
    output_dropout: _Share
    epochs: _Count
    patience: _Count
    learning_rate: _Positive
    weight_decay: Annotated[float, msgspec.Meta(ge=0)]
    clip_norm: _Positive
    averaging: _Share
    group_size: _Count
    negative_share: Annotated[float, msgspec.Meta(gt=0, le=1)]
    random_start_share: _Share
    random_start_hours_left: _Count
    three_sign_share: _Share
    channel_dropout: _Share
    hide_admission_share: _Share
    hide_age_share: _Share
    hide_sex_share: _Share
    healthy_share: _Share
    healthy_weight: _Positive
    healthy_odds: _Positive
    order_weight: Annotated[float, msgspec.Meta(ge=0)]
    hour_smoothing: _Count
    hour_pooling: _Count
    teacher_share: _Share
    teacher_folds: Annotated[int, msgspec.Meta(ge=2)]
    teacher_trees: _Count
    teacher_leaves: Annotated[int, msgspec.Meta(ge=2)]
    teacher_leaf_rows: _Count
    teacher_learning_rate: _Positive
    tutor_share: _Share
    tutor_share_hidden: _Share
    tutor_views: _Count
    tutor_trees: _Count
    tutor_leaves: Annotated[int, msgspec.Meta(ge=2)]
    tutor_leaf_rows: _Count
    tutor_learning_rate: _Positive
    alert_episodes_per_day: _Positive
    resolve_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)]


def load_training_config(path: Path | None = None) -> TrainingConfig:
    """Return the settings in a file, or the shipped ones; raises TrainingConfigError."""
    source = path or _SHIPPED
    try:
        return msgspec.convert(tomllib.loads(source.read_text(encoding="utf-8")), TrainingConfig)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        msg = f"{source}: not a training configuration: {error}"
        raise TrainingConfigError(msg) from error
