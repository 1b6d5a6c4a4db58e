"""Vouch for the manifest of an artefact as it stands: one edited on purpose, or written before it had a digest.

    python -m models.seal FOLDER

Writes into manifest.json the risks that the made-up stays get from its calibration, and the digest of its content.
Everything else is checked first as ever; the weights stay as they are. The model's digest changes with the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from models.artifact import ArtifactError, seal_model

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Seal the artefact in a folder, print its digest, and return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: python -m models.seal FOLDER\n")
        return 2
    try:
        model = seal_model(Path(arguments[0]))
    except ArtifactError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{model.name} {model.version}, {model.digest}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
