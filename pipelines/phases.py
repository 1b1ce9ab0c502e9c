"""The phases of a run: functions from what is named to what is named. None of them knows a layout of folders.

`ikelos run` calls them one after the other in a folder of its own (`runner`).
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from ikelos import serving
from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.evaluation import machine
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.report import page, standard
from ikelos.pipelines.task import Fingerprinted, Finished, Task
from ikelos.pipelines.training import fit as training
from ikelos.pipelines.training.stage import Models
from ikelos.serving import files

AnyTask = Task[Any, Any, Any]


def prepare(task: AnyTask, splits: Mapping[Split, Fingerprinted], folder: Path) -> Preprocessing:
    """Learns from the splits what comes before the model, and writes it and their fingerprint into a folder.

    Returns:
        What was written, read again: a run that goes on later must not have another.
    """
    task.fit(splits).save(folder)
    fingerprint.write(folder, {name: split.sha256() for name, split in splits.items()})
    return task.load(folder)


def check(splits: Mapping[Split, Fingerprinted], folder: Path) -> None:
    """Checks that the splits are those from which `prepare` wrote a folder.

    Raises:
        UserError: If one is another.
    """
    fingerprint.check(folder, {name: split.sha256() for name, split in splits.items()})


def train(
    task: AnyTask, preprocessing: Preprocessing, data: Any, folder_of: Callable[[str], Path]
) -> dict[str, keras.Model]:
    """Trains the stages one after the other, each in the folder of its name; what is trained already is loaded."""
    models: dict[str, keras.Model] = {}
    for stage in task.stages(preprocessing):
        models[stage.name] = training.fit(stage, data, models, folder_of(stage.name))
    return models


def restore(
    task: AnyTask, folder: Path, folder_of: Callable[[str], Path]
) -> tuple[Preprocessing, dict[str, keras.Model]]:
    """The preprocessing that `prepare` left in a folder and the models that `train` left; no data is read.

    Raises:
        UserError: If a stage is not trained to its end.
    """
    preprocessing, models = task.load(folder), dict[str, keras.Model]()
    for stage in task.stages(preprocessing):
        models[stage.name] = training.restore(stage, models, folder_of(stage.name))
    return preprocessing, models


def evaluate(task: AnyTask, preprocessing: Preprocessing, data: Any, models: Models) -> dict[str, Any]:
    """Measures model and baselines on the held-out data, and the machine."""
    start = time.monotonic()
    return {
        "model": task.evaluate(preprocessing, data, models),
        "baselines": task.baselines(preprocessing, data),
        "parameters": _parameters(models),
        "evaluation_seconds": time.monotonic() - start,
        "machine": machine.describe(),
        "peak_memory_bytes": machine.peak_memory_bytes(),
    }


def report(task: AnyTask, finished: Finished[Any, Any], folder: Path) -> dict[str, Path]:
    """Writes the report into a folder; returns its files, named for people."""
    stages = task.stages(finished.preprocessing)
    facts, sections = standard.build(task, stages, finished)
    written = page.write(folder, task.title, facts, sections)
    files.sync_tree(folder)
    return written


def export(task: AnyTask, preprocessing: Preprocessing, models: Models, base: Path, provenance: dict[str, Any]) -> Path:
    """Writes the next version of a served model, checked; no data is read."""
    signatures = task.signatures(preprocessing, models)
    return serving.export(base, [preprocessing, dict(models)], signatures, provenance=provenance)


def _parameters(models: Models) -> int:
    """How many there are in all models together; a model may hold one of a stage before."""
    unique = {id(variable): variable for model in models.values() for variable in model.weights}
    return sum(math.prod(variable.shape) for variable in unique.values())
