"""Where a version comes from: a small JSON file beside its examples, in the exporter's own terms."""

import json
import pathlib
from typing import Any

from ikelos.serving.examples import EXTRA

_FILE = "ikelos_provenance.json"


def write_provenance(version: pathlib.Path, provenance: dict[str, Any]) -> None:
    """Writes the file into the folder of a version, which has its examples already."""
    (version / EXTRA / _FILE).write_text(json.dumps(provenance, indent=1), encoding="utf-8")


def read_provenance(version: pathlib.Path) -> dict[str, Any] | None:
    """What `ikelos.serving.export` was given as `provenance`, None if nothing."""
    path = version / EXTRA / _FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
