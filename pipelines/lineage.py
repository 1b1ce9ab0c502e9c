"""The lineage of a served model: the code, the data and the checkpoints that a version comes from."""

import json
from pathlib import Path
from typing import Any

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder

NEWEST = "newest"


def number(version: str) -> int | None:
    """Returns the number in a text; None for `newest`.

    Raises:
        UserError: If it is neither.
    """
    if version == NEWEST:
        return None
    if not (version.isascii() and version.isdecimal()):
        raise UserError(f"`--version` must be a number or {NEWEST}. Received: --version {version}")
    return int(version)


def of_run(workdir: Path, version: int | None) -> dict[str, str]:
    """Returns the lineage of an exported version in the folder of a run, from the files of the folder alone.

    Args:
        workdir: Folder of the run.
        version: The number of the version; None for the newest one.

    Returns:
        Names and values to print. There is no `Result` if these weights have not been evaluated.

    Raises:
        UserError: If the folder holds no run, or there is no such version.
    """
    from ikelos import serving  # imports NumPy, which `ikelos --help` does not need

    folder = Folder(workdir)
    folder.check()
    place = serving.newest(folder.export) if version is None else folder.export / str(version)
    provenance = None if place is None else serving.read_provenance(place)
    if place is None or provenance is None:
        raise UserError(
            "`--version` must be a version that `ikelos export` wrote. Received: "
            f"{f'{folder.export}, without a version' if place is None else place}"
        )
    rows = {"Version": str(place), **of_provenance(provenance)}
    splits = json.loads((folder.preprocessing / "splits.json").read_text(encoding="utf-8"))
    rows |= of_splits(splits)
    if folder.start.is_file():
        rows["Began with"] = json.loads(folder.start.read_text(encoding="utf-8"))["run"]
    figures = json.loads(folder.evaluation.read_text(encoding="utf-8")) if folder.evaluation.is_file() else {}
    if figures.get("provenance") == provenance:
        rows["Result"] = ", ".join(
            f"{name} {value:.5g}" for name, value in figures["model"].items() if isinstance(value, int | float)
        )
    return rows


def of_provenance(provenance: dict[str, Any]) -> dict[str, str]:
    """Returns names and values to print of a version's provenance."""
    checkpoints = {
        f"Checkpoint of {stage}": f"{about['file']}, SHA-256 {about['sha256']}"
        for stage, about in provenance["checkpoints"].items()
    }
    return {
        "Recipe": f"SHA-256 {provenance['recipe']}",
        **checkpoints,
        "Code": f"Ikelos {provenance['ikelos']}, TensorFlow {provenance['tensorflow']}",
    }


def of_splits(splits: dict[str, str]) -> dict[str, str]:
    """Returns names and values to print of the prepared data, from the content of `preprocessing/splits.json`."""
    return {f"Prepared {split}": f"SHA-256 {checksum}" for split, checksum in splits.items()}


def of_examples(about: dict[str, Any]) -> dict[str, str]:
    """Returns names and values to print of the examples that a pipeline read, from the content of `records.ABOUT`."""
    return {
        f"Examples of {split}": f"{facts['examples']:,}, SHA-256 {facts['sha256']}"
        for split, facts in about["splits"].items()
    }
