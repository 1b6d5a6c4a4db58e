"""The scenarios; importing a module enters its scenarios into the list."""

from tests.chaos.scenarios import crashes, group

__all__ = ["crashes", "group"]
