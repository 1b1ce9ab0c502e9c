"""The phases of a run, as functions of their inputs that depend on no layout of folders.

`ikelos run` calls them one after the other in the run's folder (see `runner`).
"""

import dataclasses
import itertools
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

from ikelos import serving
from ikelos.pipelines.console import Progress
from ikelos.pipelines.data import description, fingerprint, preparation
from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import machine
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.report import page, standard
from ikelos.pipelines.task import Finished, Task
from ikelos.pipelines.training import checkpoint
from ikelos.pipelines.training import fit as training
from ikelos.pipelines.training.stage import Models
from ikelos.pipelines.training.start import Start
from ikelos.serving import files
from ikelos.serving.weights import FLOAT32

AnyTask = Task[Any, Any]
_TIMED_BATCHES = 50
_SAVED_FROM = "checkpoints.json"


@dataclasses.dataclass(frozen=True)
class Description:
    """A description of prepared data.

    Attributes:
        folder: Folder of the prepared data.
        splits: For each split, the result of `data.description.describe`.
        texts: The first training examples if they are texts.
        picture: PNG file of the first training examples if they are images.
        batch_seconds: Mean time to read a batch of the first stage, without training.
    """

    folder: Path
    splits: Mapping[str, dict[str, Any]]
    texts: list[str]
    picture: Path | None
    batch_seconds: float


def prepare(task: AnyTask, folder: Path, start: Path | None = None) -> Splits:
    """Prepares the data, unless it is already prepared, and copies the fitted preprocessing and the checksums.

    Args:
        task: The task.
        folder: Folder to copy to, created if missing.
        start: Preprocessing of another run; the parts that its model depends on are taken from it.

    Returns:
        The splits.

    Raises:
        UserError: If the source cannot be read, more of it is faulty than allowed, prepared data is damaged, or the
            other run's model cannot be used with this data.
    """
    with Progress("data"):
        prepared = _prepared(task, start)
        keep(prepared, folder)
    return prepared.splits


def keep(prepared: preparation.Prepared[Any], folder: Path) -> None:
    """Copies the fitted preprocessing and the checksums of the splits to a folder, created if missing."""
    shutil.copytree(prepared.folder / "preprocessing", folder, dirs_exist_ok=True)
    fingerprint.write(folder, {name: split.sha256() for name, split in prepared.splits.items()})


def describe(task: AnyTask, start: Path | None = None) -> Description:
    """Prepares the data, unless it is already prepared, and describes it.

    Args:
        task: The task.
        start: Preprocessing of another run, as for `prepare`.

    Raises:
        UserError: As `prepare`.
    """
    preparing = task.preparation()
    prepared = _prepared(task, start)
    names = preparing.class_names(prepared.learned)
    feed = task.stages(prepared.learned)[0].feed(prepared.splits, {})
    batches = iter(feed.train(0, WHOLE))
    next(batches)  # traces the graph
    begun = time.monotonic()
    for _ in range(_TIMED_BATCHES):
        next(batches)
    seconds = (time.monotonic() - begun) / _TIMED_BATCHES
    shown = preparing.show(prepared.learned, prepared.splits["train"])
    return Description(
        folder=prepared.folder,
        splits={name: description.describe(split, names) for name, split in prepared.splits.items()},
        texts=shown if isinstance(shown, list) else [],
        picture=None if isinstance(shown, list) else prepared.folder / preparation.EXAMPLES,
        batch_seconds=seconds,
    )


def _prepared(task: AnyTask, start: Path | None) -> preparation.Prepared[Any]:
    if start is None:
        return preparation.prepare(task.preparation())
    prepared = preparation.prepare(task.preparation().reusing(start))
    task.check_preprocessing(prepared.learned, load(task, start))
    return prepared


def read(task: AnyTask, folder: Path, start: Path | None = None) -> Splits:
    """Returns the splits for which `prepare` wrote the folder; `start` must be the same.

    Raises:
        UserError: If the data has changed since; or as `prepare`.
    """
    with Progress("data"):
        splits = _prepared(task, start).splits
        fingerprint.check(folder, {name: split.sha256() for name, split in splits.items()})
    return splits


def read_other(task: AnyTask, start: Path) -> tuple[Preprocessing, Splits]:
    """Returns other data for a trained model, with preprocessing that keeps the parts that the model depends on.

    Raises:
        UserError: If the model cannot be used with this data; or as `prepare`.
    """
    prepared = _prepared(task, start)
    return prepared.learned, prepared.splits


def train(
    task: AnyTask,
    preprocessing: Preprocessing,
    splits: Splits,
    folder_of: Callable[[str], Path],
    start: Start | None = None,
) -> dict[str, keras.Model]:
    """Trains the stages one after the other; those that are already trained are loaded.

    Args:
        task: The task.
        preprocessing: The fitted preprocessing.
        splits: The data.
        folder_of: Function from a stage's name to its folder.
        start: The run that gives new models their initial weights; None to train from scratch.

    Returns:
        The trained models by stage.

    Raises:
        UserError: As `check_steps`.
        NotFinite, Terminated, UserError, ValueError, OSError: As `training.fit.fit`.
    """
    check_steps(task, preprocessing, folder_of)
    models: dict[str, keras.Model] = {}
    for stage in task.stages(preprocessing):
        models[stage.name] = training.fit(stage, splits, models, folder_of(stage.name), start)
    return models


def check_steps(task: AnyTask, preprocessing: Preprocessing, folder_of: Callable[[str], Path]) -> None:
    """Checks that a recipe with a changed number of steps may continue in the stages' folders.

    Raises:
        UserError: If the steps of a stage changed and the next stage was already trained on its model.
    """
    for stage, later in itertools.pairwise(task.stages(preprocessing)):
        planned = checkpoint.planned(folder_of(stage.name) / "checkpoints")
        if checkpoint.exists(folder_of(later.name) / "checkpoints") and planned != stage.training.steps:
            raise UserError(
                f"`steps` of stage {stage.name!r} must be {planned}, as stage {later.name!r} was trained on its model. "
                f"Received: steps={stage.training.steps}"
            )


def fingerprints(stages: Iterable[str], checkpoints_of: Callable[[str], Path]) -> dict[str, dict[str, str]]:
    """Returns the file name and SHA-256 checksum of the newest checkpoint of each stage.

    Args:
        stages: Names of the stages.
        checkpoints_of: Function from a stage's name to the folder of its checkpoints.
    """
    return {name: checkpoint.fingerprint(checkpoints_of(name)) for name in stages}


def save_models(
    task: AnyTask, preprocessing: Preprocessing, models: Models, folder: Path, checkpoints: dict[str, dict[str, str]]
) -> None:
    """Writes each stage's model as `<stage>.keras`, without optimizer, and the fingerprints of their checkpoints."""
    for stage in task.stages(preprocessing):
        # A fresh model, never compiled: Keras would also save the optimizers, which could not be loaded elsewhere.
        model = stage.build(models)
        model.set_weights(models[stage.name].get_weights())
        model.save(folder / f"{stage.name}.keras")
    (folder / _SAVED_FROM).write_text(json.dumps(checkpoints, indent=2) + "\n", encoding="utf-8")


def saved_from(folder: Path) -> dict[str, dict[str, str]]:
    """Returns the fingerprints of the checkpoints that the models in a folder of `save_models` come from."""
    return json.loads((folder / _SAVED_FROM).read_text(encoding="utf-8"))


def load_models(stages: Iterable[str], folder: Path) -> dict[str, keras.Model]:
    """Loads the models that `save_models` wrote into a folder, by stage."""
    return {name: keras.models.load_model(folder / f"{name}.keras") for name in stages}


def load(task: AnyTask, folder: Path) -> Preprocessing:
    """Loads the preprocessing that `prepare` wrote into a folder. Reads no data."""
    return task.preparation().load(folder)


def restore(
    task: AnyTask, folder: Path, folder_of: Callable[[str], Path]
) -> tuple[Preprocessing, dict[str, keras.Model]]:
    """Loads the preprocessing that `prepare` wrote and the models that `train` trained. Reads no data.

    Raises:
        UserError: If the training of a stage is not finished, or a checkpoint cannot be read or does not fit.
    """
    preprocessing, models = load(task, folder), dict[str, keras.Model]()
    for stage in task.stages(preprocessing):
        models[stage.name] = training.restore(stage, models, folder_of(stage.name))
    return preprocessing, models


def evaluate(task: AnyTask, preprocessing: Preprocessing, splits: Splits, models: Models) -> dict[str, Any]:
    """Measures the model and the baselines on the held-out data, and describes the data and the machine.

    The model is measured as it is served, with its weights in the format of `export.weights`.

    Returns:
        JSON data: `model` and `baselines`, the results of the task's methods `evaluate` and `baselines`; with another
        format than float32, `float32_model`, the metrics with float32 weights; `data`, the facts about each split;
        `parameters`, the number of weights; `evaluation_seconds`; `machine`, a description; and `peak_memory_bytes`.
    """
    start = time.monotonic()
    with Progress("evaluation"):
        return {
            "model": served_figures(task, preprocessing, splits, models),
            **_float32_metrics(task, preprocessing, splits, models),
            "baselines": task.baselines(preprocessing, splits),
            "data": {name: split.facts() for name, split in splits.items()},
            "parameters": _parameters(models),
            "evaluation_seconds": time.monotonic() - start,
            "machine": machine.describe(),
            "peak_memory_bytes": machine.peak_memory_bytes(),
        }


def served_figures(task: AnyTask, preprocessing: Preprocessing, splits: Splits, models: Models) -> dict[str, Any]:
    """Returns the model's figures on the held-out data, with its weights in the format of `export.weights`."""
    with serving.stored_weights([preprocessing, dict(models)], task.config.export.weights):
        return task.evaluate(preprocessing, splits, models)


def _float32_metrics(task: AnyTask, preprocessing: Preprocessing, splits: Splits, models: Models) -> dict[str, Any]:
    """Returns the metrics with float32 weights under their key, unless the served model has these weights."""
    if task.config.export.weights == FLOAT32:
        return {}
    measured = task.evaluate(preprocessing, splits, models)
    return {"float32_model": {metric.name: measured[metric.name] for metric in task.metrics}}


def report(task: AnyTask, finished: Finished[Any], folder: Path) -> dict[str, Path]:
    """Writes the report into a folder and returns its files by their display names.

    Raises:
        ValueError: If a figure is not finite.
        OSError: If a file cannot be written.
    """
    with Progress("report"):
        stages = task.stages(finished.preprocessing)
        # Examples show the model that is served, as the figures do.
        with serving.stored_weights([finished.preprocessing, dict(finished.models)], task.config.export.weights):
            facts, sections = standard.build(task, stages, finished)
        written = page.write(folder, task.title, facts, sections)
        files.sync_tree(folder)
    return written


def export(task: AnyTask, preprocessing: Preprocessing, models: Models, base: Path, card: serving.Card) -> Path:
    """Writes the next version of the served model, checks it and returns its folder. Reads no data.

    Raises:
        CheckFailed: If the version does not run in stock TensorFlow as it does here. The version is deleted.
        OSError: If a file cannot be written. The unfinished version is deleted.
    """
    settings = task.config.export
    signatures = [
        dataclasses.replace(signature, max_rows=settings.max_rows)
        for signature in task.signatures(preprocessing, models)
    ]
    with Progress("export", "steps", serving.export_steps(signatures)) as progress:

        def begin(step: str) -> None:
            progress.advance(1 if progress.note else 0)
            progress.note = step

        return serving.export(
            base,
            [preprocessing, dict(models)],
            signatures,
            weights=settings.weights,
            card=card,
            warmup_batch_sizes=settings.warmup_batch_sizes,
            begin=begin,
        )


def _parameters(models: Models) -> int:
    """Returns the number of weights of all models, counting shared ones once and leaving out tables of integers."""
    unique = {id(variable): variable for model in models.values() for variable in model.weights}
    weights = [variable for variable in unique.values() if "float" in variable.dtype]
    return sum(math.prod(variable.shape) for variable in weights)
