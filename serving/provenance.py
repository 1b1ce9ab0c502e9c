"""The provenance of a version: a small JSON file next to the examples, with contents that the exporter chooses."""

import json
import pathlib
from typing import Any

from ikelos.serving.examples import EXTRA

FILE = f"{EXTRA}/ikelos_provenance.json"
"""Path within a version."""


def write_provenance(version: pathlib.Path, provenance: dict[str, Any]) -> None:
    """Writes the provenance into the folder of a version, which must already have its examples."""
    (version / FILE).write_text(json.dumps(provenance, indent=1), encoding="utf-8")


def read_provenance(version: pathlib.Path) -> dict[str, Any] | None:
    """Returns the `provenance` that `ikelos.serving.export` was given, or None."""
    path = version / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
