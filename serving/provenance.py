"""The provenance of a version: a small JSON file next to the examples, with contents that the exporter chooses."""

import json
import pathlib
from typing import Any

from ikelos.serving.examples import EXTRA

_FILE = "ikelos_provenance.json"


def write_provenance(version: pathlib.Path, provenance: dict[str, Any]) -> None:
    """Writes the provenance into the folder of a version, which must already have its examples."""
    (version / EXTRA / _FILE).write_text(json.dumps(provenance, indent=1), encoding="utf-8")


def read_provenance(version: pathlib.Path) -> dict[str, Any] | None:
    """Returns the `provenance` that `ikelos.serving.export` was given, or None."""
    path = version / EXTRA / _FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
