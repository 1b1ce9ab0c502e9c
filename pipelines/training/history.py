"""The history of a stage's training as lines of JSON."""

import json
import os
from pathlib import Path
from typing import Any

from ikelos.serving import files

Record = dict[str, Any]

MODEL = "model"
"""Name of the optimizer that updates all weights of a model."""


def key(optimizer: str, what: str) -> str:
    """Returns the key of an optimizer's figure in a record: `loss`, or `generator_loss` for one of several."""
    return what if optimizer == MODEL else f"{optimizer}_{what}"


class History:
    """Writer of `history.jsonl`: records with `"event"` ("step", "epoch", "profile" or "longer") and `"step"`.

    A run that resumes from a checkpoint first drops the records written after it, so that each step occurs once.

    Attributes:
        records: The records kept from before, oldest first.
    """

    def __init__(self, path: Path, step: int, epochs: int):
        """Keeps the records up to step `step` and epoch `epochs`."""
        self.records = [r for r in read(path) if r["step"] <= step and r.get("epoch", 0) <= epochs]
        files.write(path, "".join(json.dumps(record) + "\n" for record in self.records))
        self._file = path.open("a", encoding="utf-8")

    def append(self, record: Record) -> None:
        """Writes one line and syncs it to the disk: it must be there before a checkpoint that counts it."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read(path: Path) -> list[Record]:
    """Returns the records of a `history.jsonl`, none if there is no such file.

    Reading stops at the first truncated or damaged line, which a kill or a power cut may leave at the end.
    """
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:  # not JSON, or not UTF-8
            break
        if not isinstance(record, dict) or not line.endswith(b"\n"):
            break
        records.append(record)
    return records
