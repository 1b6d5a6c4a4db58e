"""The policies that the configuration names: the common one, and those of units."""

from __future__ import annotations

import msgspec

from agents.control import LARGEST_SETTINGS
from agents.policy import Policy, PolicyError, load_policy
from monitor.settings import Settings

__all__ = ["policies_of"]

_BESIDE = 1_000  # bytes of settings that are no policy


def policies_of(settings: Settings) -> tuple[Policy, dict[str, Policy]]:
    """Return the common policy and those of units, by unit; raises PolicyError, which names the key."""
    common, units = load_policy(settings.policy.file), {}
    for unit, file in settings.policy.units.items():
        try:
            units[unit] = load_policy(file)
        except PolicyError as error:
            msg = f"policy.units, {unit}: {error}"
            raise PolicyError(msg) from error
    size = len(msgspec.json.encode((common, units))) + _BESIDE
    if size > LARGEST_SETTINGS:
        msg = (
            f"policy.units: the policies are {size} bytes together, and one record of the log has to hold all of them "
            f"in {LARGEST_SETTINGS}: name fewer units, or shorten the files' names and versions"
        )
        raise PolicyError(msg)
    return common, units
