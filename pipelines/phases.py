"""The phases of a run: functions from what is named to what is named. None of them knows a layout of folders.

`ikelos run` calls them one after the other in a folder of its own (`runner`).
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

AnyTask = Task[Any, Any]
_TIMED_BATCHES = 50
_SAVED_FROM = "checkpoints.json"


@dataclasses.dataclass(frozen=True)
class Description:
    """What `describe` found.

    Attributes:
        folder: Where the prepared data lies.
        splits: Of each split what `data.description.describe` gives.
        texts: The first training examples, of texts.
        picture: A PNG file of the first training examples, of images.
        batch_seconds: What a batch of the first stage takes by itself, on average.
    """

    folder: Path
    splits: Mapping[str, dict[str, Any]]
    texts: list[str]
    picture: Path | None
    batch_seconds: float


def prepare(task: AnyTask, folder: Path, start: Path | None = None) -> Splits:
    """Prepares the data, or finds it prepared, and copies into a folder what was learned from it, and its sums.

    Args:
        task: Whose data.
        folder: Where to; made if need be.
        start: Preprocessing of another run, of which is taken over what its model depends on.

    Raises:
        UserError: If that run's model cannot be used with this data.
    """
    with Progress("data"):
        prepared = _prepared(task, start)
        shutil.copytree(prepared.folder / "preprocessing", folder, dirs_exist_ok=True)
        fingerprint.write(folder, {name: split.sha256() for name, split in prepared.splits.items()})
    return prepared.splits


def describe(task: AnyTask, start: Path | None = None) -> Description:
    """Prepares the data, or finds it prepared, and looks at it; `start` as of `prepare`."""
    preparing = task.preparation()
    prepared = _prepared(task, start)
    names = preparing.class_names(prepared.learned)
    feed = task.stages(prepared.learned)[0].feed(prepared.splits, {})
    batches = iter(feed.train(0, WHOLE))
    next(batches)  # makes the graph
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
    prepared = preparation.prepare(task.preparation().taking_over(start))
    task.check_preprocessing(prepared.learned, load(task, start))
    return prepared


def read(task: AnyTask, folder: Path, start: Path | None = None) -> Splits:
    """The data from which `prepare` wrote a folder, with such a `start`.

    Raises:
        UserError: If it is another now.
    """
    with Progress("data"):
        splits = _prepared(task, start).splits
        fingerprint.check(folder, {name: split.sha256() for name, split in splits.items()})
    return splits


def read_other(task: AnyTask, start: Path) -> tuple[Preprocessing, Splits]:
    """Other data for a trained model, and what is learned from it, with what the model's preprocessing holds.

    Raises:
        UserError: If the model cannot be used with it.
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
    """Trains the stages one after the other, each in the folder of its name; what is trained already is loaded.

    Args:
        task: Of which recipe.
        preprocessing: What was learned before the model.
        splits: What is trained on.
        folder_of: From a stage's name to its folder.
        start: Another run, whose weights new models begin with.

    Raises:
        UserError: As of `check_steps` and `training.fit.fit`.
    """
    check_steps(task, preprocessing, folder_of)
    models: dict[str, keras.Model] = {}
    for stage in task.stages(preprocessing):
        models[stage.name] = training.fit(stage, splits, models, folder_of(stage.name), start)
    return models


def check_steps(task: AnyTask, preprocessing: Preprocessing, folder_of: Callable[[str], Path]) -> None:
    """Looks whether a recipe with other steps than before may go on in the stages' folders.

    Raises:
        UserError: If a stage is given more steps and a later one was already trained on its model.
    """
    for stage, later in itertools.pairwise(task.stages(preprocessing)):
        planned = checkpoint.planned(folder_of(stage.name) / "checkpoints")
        if checkpoint.exists(folder_of(later.name) / "checkpoints") and planned != stage.training.steps:
            raise UserError(
                f"`steps` of stage {stage.name!r} must be {planned}, as stage {later.name!r} was trained on its model. "
                f"Received: steps={stage.training.steps}"
            )


def fingerprints(stages: Iterable[str], checkpoints_of: Callable[[str], Path]) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of the newest checkpoint of each stage, in the folder that `checkpoints_of` gives for it."""
    return {name: checkpoint.fingerprint(checkpoints_of(name)) for name in stages}


def save_models(
    task: AnyTask, preprocessing: Preprocessing, models: Models, folder: Path, checkpoints: dict[str, dict[str, str]]
) -> None:
    """Writes each stage's model as `<stage>.keras`, without optimizer, and which checkpoints they come from."""
    for stage in task.stages(preprocessing):
        # A model that was never compiled: Keras would save the optimizers too, which nobody else could load.
        model = stage.build(models)
        model.set_weights(models[stage.name].get_weights())
        model.save(folder / f"{stage.name}.keras")
    (folder / _SAVED_FROM).write_text(json.dumps(checkpoints, indent=2) + "\n", encoding="utf-8")


def saved_from(folder: Path) -> dict[str, dict[str, str]]:
    """The checkpoints of the models that `save_models` wrote into a folder."""
    return json.loads((folder / _SAVED_FROM).read_text(encoding="utf-8"))


def load_models(stages: Iterable[str], folder: Path) -> dict[str, keras.Model]:
    """The models that `save_models` wrote into a folder, by the names of their stages."""
    return {name: keras.models.load_model(folder / f"{name}.keras") for name in stages}


def load(task: AnyTask, folder: Path) -> Preprocessing:
    """The preprocessing that `prepare` left in a folder; no data is read."""
    return task.preparation().load(folder)


def restore(
    task: AnyTask, folder: Path, folder_of: Callable[[str], Path]
) -> tuple[Preprocessing, dict[str, keras.Model]]:
    """The preprocessing that `prepare` left in a folder and the models that `train` left; no data is read.

    Raises:
        UserError: If a stage is not trained to its end.
    """
    preprocessing, models = load(task, folder), dict[str, keras.Model]()
    for stage in task.stages(preprocessing):
        models[stage.name] = training.restore(stage, models, folder_of(stage.name))
    return preprocessing, models


def evaluate(task: AnyTask, preprocessing: Preprocessing, splits: Splits, models: Models) -> dict[str, Any]:
    """Measures model and baselines on the held-out data, and the machine."""
    start = time.monotonic()
    with Progress("evaluation"):
        return {
            "model": task.evaluate(preprocessing, splits, models),
            "baselines": task.baselines(preprocessing, splits),
            "data": {name: split.facts() for name, split in splits.items()},
            "parameters": _parameters(models),
            "evaluation_seconds": time.monotonic() - start,
            "machine": machine.describe(),
            "peak_memory_bytes": machine.peak_memory_bytes(),
        }


def report(task: AnyTask, finished: Finished[Any], folder: Path) -> dict[str, Path]:
    """Writes the report into a folder; returns its files, named for people."""
    with Progress("report"):
        stages = task.stages(finished.preprocessing)
        facts, sections = standard.build(task, stages, finished)
        written = page.write(folder, task.title, facts, sections)
        files.sync_tree(folder)
    return written


def export(task: AnyTask, preprocessing: Preprocessing, models: Models, base: Path, provenance: dict[str, Any]) -> Path:
    """Writes the next version of a served model, checked; no data is read."""
    signatures = task.signatures(preprocessing, models)
    with Progress("export", "steps", serving.export_steps(signatures)) as progress:

        def begin(step: str) -> None:
            progress.advance(1 if progress.note else 0)
            progress.note = step

        return serving.export(base, [preprocessing, dict(models)], signatures, provenance, begin)


def _parameters(models: Models) -> int:
    """Returns the number of weights of all models, counting shared ones once and leaving out tables of integers."""
    unique = {id(variable): variable for model in models.values() for variable in model.weights}
    weights = [variable for variable in unique.values() if "float" in variable.dtype]
    return sum(math.prod(variable.shape) for variable in weights)
