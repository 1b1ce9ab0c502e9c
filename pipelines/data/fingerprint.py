"""Whether the data is still that with which a run began."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ikelos.pipelines.errors import UserError

_FILE = "splits.json"


def sha256(parts: Iterable[bytes]) -> str:
    """Of all parts, each behind its length: no two lists of parts look alike."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def write(folder: Path, sums: Mapping[str, str]) -> None:
    """Writes the sums of the splits, by name, beside the preprocessing in `folder`."""
    (folder / _FILE).write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")


def check(folder: Path, sums: Mapping[str, str]) -> None:
    """Compares sums with those that `write` wrote.

    Raises:
        UserError: If a split is another.
    """
    began_with = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    for name, found in sums.items():
        if found != began_with[name]:
            raise UserError(
                f"The data of the split {name!r} (data.source) has changed since the run began. Restore it, or choose "
                "another --workdir."
            )
