"""Checks that the data of a run has not changed since the run began."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ikelos.pipelines.errors import UserError

_FILE = "splits.json"


def sha256(parts: Iterable[bytes]) -> str:
    """Returns the SHA-256 checksum of all parts, each preceded by its length, so that it depends on the boundaries."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def write(folder: Path, checksums: Mapping[str, str]) -> None:
    """Writes the checksums of the splits, by name, into the folder of the preprocessing."""
    (folder / _FILE).write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")


def check(folder: Path, checksums: Mapping[str, str]) -> None:
    """Compares the checksums of the splits with those that `write` wrote.

    Raises:
        UserError: If a split has changed.
    """
    began_with = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    for name, found in checksums.items():
        if found != began_with[name]:
            raise UserError(
                f"The data of the split {name!r} (data.source) has changed since the run began. Restore it, or choose "
                "another --workdir."
            )
