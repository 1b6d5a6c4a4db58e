"""Vouch for the manifest of an artefact as it stands: one edited on purpose, or written before it had a digest.

    python -m models.seal FOLDER

Writes into manifest.json the risks that the made-up stays get from its calibration, and the digest of its content.
Everything else is checked first as ever; the weights stay as they are. The model's digest changes with the file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.artifact import ArtifactError, seal_model

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Seal the artefact in a folder, print its digest, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.seal",
        description="Vouch for the manifest of an artefact as it stands: edited on purpose.",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="of the artefact; its manifest.json is rewritten")
    folder = parser.parse_args(arguments).folder
    try:
        model = seal_model(folder)
    except ArtifactError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{model.name} {model.version}, {model.digest}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
