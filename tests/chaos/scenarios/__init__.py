"""The scenarios; importing a module enters its scenarios into the list."""

from tests.chaos.scenarios import (
    brokers,
    crashes,
    events,
    group,
    leaving,
    losses,
    mocked,
    revealing,
    rollout,
    silence,
    storage,
    units,
)

__all__ = [
    "brokers",
    "crashes",
    "events",
    "group",
    "leaving",
    "losses",
    "mocked",
    "revealing",
    "rollout",
    "silence",
    "storage",
    "units",
]
