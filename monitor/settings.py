"""The configuration: frozen, and read from four places.

A flag wins over an environment variable, that over the TOML file, that over the default. The environment variable
`SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS` is `bootstrap_servers` in `[kafka]`. `KAFKA_HOME` and `JAVA_HOME` count as
variables of `broker.kafka_home` and `broker.java_home`. An empty variable counts as not set, as compose files leave
them. Unknown keys are errors wherever they stand: a misspelt limit that is silently ignored is one that does not hold.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from monitor.errors import Failure
from monitor.sections import (
    BrokerSettings,
    HttpSettings,
    KafkaSettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    PolicySettings,
    TopicSettings,
    WorkerSettings,
)

__all__ = ["ENV_PREFIX", "Loaded", "Settings", "SettingsError", "load", "load_settings"]

ENV_PREFIX = "SEPSIS_MONITOR_"
_FOREIGN_VARIABLES = {"KAFKA_HOME": "broker.kafka_home", "JAVA_HOME": "broker.java_home"}
_KINDS = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "an array", dict: "a table"}


class SettingsError(Failure):
    """A setting that cannot be used; names the key, where it was set and the kind of its value, never the value."""


class Settings(BaseSettings):
    """Everything that can be configured; made by `load_settings`, never changed afterwards."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="forbid", frozen=True
    )

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    topics: TopicSettings = Field(default_factory=TopicSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what the caller gives and nothing else: the loader reads the sources, to know each key's origin."""
        return (init_settings,)


@dataclass(frozen=True)
class Loaded:
    """Settings, and where each key was set: `section.key` to a phrase for people."""

    settings: Settings
    sources: Mapping[str, str]


def load_settings(config_file: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Return the settings in force; `overrides` are the flags, by `section.key`, None for a flag that was not given.

    Raises SettingsError with one line.
    """
    return load(config_file, overrides).settings


def load(config_file: Path | None = None, overrides: Mapping[str, object] | None = None) -> Loaded:
    """Do as `load_settings`, and also say where each key comes from."""
    values: dict[str, dict[str, object]] = {}
    sources: dict[str, str] = {}
    for key, value, source in _layers(config_file, overrides or {}):
        section, _, name = key.partition(".")
        values.setdefault(section, {})[name] = value
        sources[key] = source
    try:
        settings = Settings(**cast("dict[str, Any]", values))
    except ValidationError as error:
        raise SettingsError("; ".join(_line(detail, sources) for detail in error.errors())) from None
    for key in _keys():
        sources.setdefault(key, "default")
    return Loaded(settings, sources)


def _layers(config_file: Path | None, overrides: Mapping[str, object]) -> Iterator[tuple[str, object, str]]:
    """Yield (key, value, source), the weaker sources first."""
    if config_file is not None:
        for key, value in _flat(_toml(config_file), str(config_file)):
            yield key, value, str(config_file)
    for variable, key in _FOREIGN_VARIABLES.items():
        if os.environ.get(variable):
            yield key, os.environ[variable], f"environment variable {variable}"
    _refuse_unknown_variables()
    for key, value in _flat(EnvSettingsSource(Settings)(), "the environment"):
        yield key, value, f"environment variable {_variable(key)}"
    for key, value in overrides.items():
        if value is not None:
            yield key, value, "command line"


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"cannot read the configuration file {path}: {error.strerror or error}"
        raise SettingsError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # Not the parser's own words: they may quote the line, and a line may hold a password.
        msg = f"the configuration file {path} is not valid TOML{_place(path)}"
        raise SettingsError(msg) from None


def _place(path: Path) -> str:
    """Return where the first line stands up to which the file does not parse, for a message."""
    lines = path.read_bytes().split(b"\n")
    for count in range(1, len(lines) + 1):
        try:
            tomllib.loads(b"\n".join(lines[:count]).decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            return f" (line {count}, or something that begins there)"
    return ""


def _flat(tree: Mapping[str, object], where: str) -> Iterator[tuple[str, object]]:
    for section, content in tree.items():
        if not isinstance(content, Mapping):
            msg = f"{where}: {section} should be a section with keys; it is {_kind(content)}"
            raise SettingsError(msg)
        for name, value in content.items():
            yield f"{section}.{name}", value


def _refuse_unknown_variables() -> None:
    """Refuse variables that were meant for a section, but name no key of it; others may share the prefix."""
    known = {_variable(key): key for key in _keys()}
    sections = tuple(ENV_PREFIX + section.upper() for section in Settings.model_fields)
    for name in os.environ:
        upper = name.upper()
        meant = upper.startswith(ENV_PREFIX) and ("__" in upper or upper.startswith(sections))
        if meant and upper not in known:
            msg = f"environment variable {name} names no setting{_suggestion(upper, list(known))}"
            raise SettingsError(msg)


def _variable(key: str) -> str:
    return ENV_PREFIX + key.upper().replace(".", "__")


def _keys() -> Iterator[str]:
    for section, field in Settings.model_fields.items():
        model = cast("type[BaseModel]", field.annotation)
        for name in model.model_fields:
            yield f"{section}.{name}"


def _line(detail: ErrorDetails, sources: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in detail["loc"][:2])
    source = sources.get(key) or next((where for name, where in sources.items() if name.startswith(key + ".")), "")
    place = f"{key} ({source})" if source else key
    if detail["type"] == "extra_forbidden":
        return f"{place}: no such setting{_suggestion(key, list(_keys()))}"
    wanted = detail["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
    if "." not in key:  # the whole section is contradictory, no single value
        return f"{place}: {wanted}"
    return f"{place}: {wanted}; it is {_kind(detail['input'])}"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"of the kind {type(value).__name__}")


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
