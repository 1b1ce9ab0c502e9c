"""The lineage of a served model, from its base path and from the run that it names, without ML Metadata."""

import json

from ikelos.pipelines import lineage as lineages
from ikelos.pipelines.data import records
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import START
from ikelos.pipelines.tfx import push, storage
from ikelos.serving import card


def lineage(base: str, version: int | None) -> dict[str, str]:
    """Returns the lineage of a version in a base path, whoever pushed it.

    Args:
        base: Base path of TensorFlow Serving: a folder, or a URL of an object store.
        version: The number of the version; None for the newest one.

    Returns:
        Names and values to print.

    Raises:
        UserError: If there is no such version, or Ikelos did not export it.
    """
    number = push.newest_version(base) if version is None else version
    place = None if number is None else push.version_of(base, number)
    path = f"{place}/{card.FILE}"
    origin = None if place is None or not storage.exists(path) else json.loads(storage.read(path))["provenance"]
    if place is None or origin is None:
        raise UserError(
            "`--version` must be a version that Ikelos exported. Received: "
            f"{f'{base}, without a version' if place is None else place}"
        )
    rows = {"Version": place, **lineages.of_provenance(origin)}
    run = push.run_of(place)
    if run is None:
        return rows | {"Model run": "unknown, as no pipeline pushed this version"}
    return rows | {"Model run": run, **_data(run)}


def _data(run: str) -> dict[str, str]:
    """Returns names and values to print of the data that a run was trained on, and of the run that it began with."""
    try:
        examples, splits = (
            json.loads(storage.read(f"{run}/{name}")) for name in (records.ABOUT, "preprocessing/splits.json")
        )
        start = f"{run}/preprocessing/{START}"
        began_with = json.loads(storage.read(start))["run"] if storage.exists(start) else None
    except (OSError, UserError) as error:
        return {"Data": f"unknown, as the model run cannot be read: {error}"}
    rows = lineages.of_examples(examples) | lineages.of_splits(splits)
    return rows if began_with is None else {"Began with": began_with, **rows}
