"""Real stays as a gateway has them, under ids in clear, and the key by which these become pseudonyms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from monitor.pseudonyms import Pseudonyms, load_key
from tests.e2e.test_pipeline import to_frame
from tests.e2e.ward import real_stays

__all__ = ["KEY", "ClearStays", "clear_stays"]

KEY = "0b" * 32


@dataclass(frozen=True)
class ClearStays:
    """Four stays in a file; `ids` are the pseudonyms of `clear`."""

    file: Path
    key_file: Path
    clear: tuple[str, ...]
    ids: list[str]

    @property
    def key(self) -> tuple[str, str]:
        """The option that names the key's file."""
        return "--pseudonym-key", str(self.key_file)


def clear_stays(folder: Path) -> ClearStays:
    """Write the stays, and the key, which nobody else can read, into a folder."""
    cohort = real_stays(4, seed=5)
    clear = tuple(f"MRN-4711-{number}-Smith" for number in range(cohort.n_stays))
    file, key_file = folder / "clear.parquet", folder / "key"
    to_frame(replace(cohort, patient_ids=clear)).write_parquet(file)
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    pseudonyms = Pseudonyms(load_key(key_file))
    return ClearStays(file, key_file, clear, [pseudonyms.of(patient) for patient in clear])
