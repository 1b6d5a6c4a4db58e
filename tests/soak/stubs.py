"""What stays that have ended leave in the table, beside those that go on."""

from __future__ import annotations

from agents.record import STUB

__all__ = ["stub_bytes", "stubs_line"]

_MB = 1e6


def stub_bytes(ended: int) -> int:
    """Return what the stubs of so many stays take, each under a patient id of its own."""
    return ended * STUB.itemsize


def stubs_line(ended: int, table_bytes: float) -> str:
    """Say how much of the table's bytes are stubs, and how much is the ward's."""
    stubs = stub_bytes(ended)
    return (
        f"the table at the end: {table_bytes / _MB:.1f} MB, of that {stubs / _MB:.1f} MB in {ended:,} stubs of "
        f"{STUB.itemsize} bytes, {(table_bytes - stubs) / _MB:.1f} MB without them (a stub goes with the log: 14 to 15 "
        "days after the discharge)"
    )
