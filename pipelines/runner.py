"""Runs a recipe locally, from its data to a served model.

The phases are called in order, and those that are already done in the run's folder are skipped. Nothing here depends on
a task.
"""

import contextlib
import dataclasses
import hashlib
import json
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import ikelos
from ikelos import serving
from ikelos.pipelines import card, origin, phases
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.console import console, shown
from ikelos.pipelines.continuation import AFTER_EXPORT, AFTER_TRAINING, check_same_run, free_keys, load_to_evaluate
from ikelos.pipelines.data import description
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.lock import locked
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.task import Finished, Task
from ikelos.pipelines.training import history
from ikelos.serving import files

Outcome = dict[str, Path | str]
"""The lines that the command line prints at the end: a name, and a path or a result."""
_EVALUATING = "measuring the model and the baselines on the held-out data"


@dataclasses.dataclass(frozen=True)
class Started:
    """A recipe, its folder, its task and the fitted preprocessing."""

    recipe: Recipe
    folder: Folder
    task: Task[Any, Any]
    preprocessing: Preprocessing


def run(recipe: Recipe, workdir: Path) -> Outcome:
    """Trains and evaluates a model, writes a report and exports the model, or continues an earlier run of the recipe.

    Evaluation, report and export are skipped if they exist for the same weights, recipe and versions of Ikelos and
    TensorFlow, so repeating a finished run writes nothing new. With more training steps than before, training
    continues. With `from` in the recipe, new models begin with the weights of another run.

    Args:
        recipe: The recipe to run.
        workdir: Folder of the run.

    Returns:
        The paths of everything written, and the result.

    Raises:
        UserError: If `workdir` holds a run of another recipe that has begun to train, or is in use by another process;
            the data cannot be read or has changed; the run named by `from` does not fit; or as for `phases.train`.
        Terminated: If SIGTERM or SIGINT came while training; the run can be continued.
        OSError: If the disk is full, or a file cannot be written.
    """
    folder = Folder(workdir)
    with locked(workdir):
        check_same_run(recipe, folder)
        current, splits = _prepare(recipe, folder)
        models = phases.train(current.task, current.preprocessing, splits, folder.stage, origin.start(recipe, folder))
        save_models(current, models)
        results = _earlier_results(folder, provenance(current))
        if results is None:
            results = measure(current, splits, models, folder)
        else:
            _say("evaluation", "skipped, as these weights have been evaluated")
        outcome = _outcome(current, results)
        if recipe.config.export.enabled:
            outcome["SavedModel"] = newest_export(current, models)
        return outcome | {"TensorBoard": f"tensorboard --logdir {shlex.quote(str(folder.stages))}"}


def describe(recipe: Recipe) -> phases.Description:
    """Prepares the data of a recipe, unless it is already prepared, and returns a description of it.

    Raises:
        UserError: If the data cannot be read, or the run named by `from` does not fit.
    """
    before = origin.find(recipe)
    return phases.describe(tasks.of_recipe(recipe), None if before is None else before.folder.preprocessing)


def evaluate(workdir: Path, overrides: Sequence[str] = ()) -> Outcome:
    """Evaluates the trained model of a run, on its own data or on other data.

    The baselines are fitted on the training split of the same data. Only one file of figures is written.

    Args:
        workdir: Folder of the run.
        overrides: Overrides of keys in `data.source` and `evaluation`, such as `"data.source.tfds=font_letters"`.

    Returns:
        The result, and the path of the file with all figures.

    Raises:
        UserError: If the folder is in use by another process, its run is not finished, an override is invalid or is of
            another key, the data cannot be read or has changed, or the model cannot be used with the data.
    """
    folder = Folder(workdir)
    recipe, changes = load_to_evaluate(folder, overrides)
    with _trained(recipe, folder) as (current, models):
        _say_data()
        preprocessing = current.preprocessing
        if any(key.startswith("data.source") for key in changes):
            preprocessing, splits = phases.read_other(current.task, folder.preprocessing)
        else:
            splits = phases.read(current.task, folder.preprocessing, origin.reused_preprocessing(folder))
        _say_left_out(splits)
        _say("evaluation", _EVALUATING)
        results = phases.evaluate(current.task, preprocessing, splits, models)
        results |= {"provenance": provenance(current), "recipe": recipe.config.model_dump(mode="json")}
        path = folder.evaluations / f"{_sha256(recipe)[:12]}.json"
        path.parent.mkdir(exist_ok=True)
        files.write(path, json.dumps(results, indent=2) + "\n")
        return {"Result": current.task.headline(results), "Evaluation": path}


def export(workdir: Path) -> Outcome:
    """Exports the trained model of a run as the next version. The data is not needed.

    Returns:
        The path of the new version.

    Raises:
        UserError: If the folder is in use by another process, or its run is not finished.
    """
    folder = Folder(workdir)
    with _trained(recipes.load(folder.recipe), folder) as (current, models):
        return {"SavedModel": _export(current, models)}


@contextlib.contextmanager
def _trained(recipe: Recipe, folder: Folder) -> Iterator[tuple[Started, dict[str, keras.Model]]]:
    """Context manager that locks the folder and yields its run, whose stages are all trained, and the models."""
    with locked(folder.path):
        if not folder.preprocessing.is_dir():
            raise UserError(f"The run in {folder.path} has not begun to train: run its recipe in the same folder.")
        task = tasks.of_recipe(recipe)
        preprocessing, models = phases.restore(task, folder.preprocessing, folder.stage)
        yield Started(recipe, folder, task, preprocessing), models


def _prepare(recipe: Recipe, folder: Folder) -> tuple[Started, Splits]:
    """Prepares the data, unless it is already prepared, and returns the run and its splits.

    Until the training begins, the data may change: it is prepared again.
    """
    task = tasks.of_recipe(recipe)
    if folder.preprocessing.is_dir() and folder.begun:
        phases.check_steps(task, phases.load(task, folder.preprocessing), folder.stage)
        _say_data()
        splits = phases.read(task, folder.preprocessing, origin.reused_preprocessing(folder))
        files.write(folder.recipe, recipes.dump(recipe))
    else:
        before = origin.find(recipe)
        _say_data()
        # Written under another name until it is complete: a folder named `preprocessing` is taken to be complete.
        unfinished = folder.preprocessing.with_name(folder.preprocessing.name + files.UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        splits = phases.prepare(task, unfinished, None if before is None else before.folder.preprocessing)
        if before is not None:
            origin.record(before, str(before.folder.path), unfinished / folder.start.name)
        # Written after the preparation, so that a failed one leaves no recipe behind, and before the folder
        # `preprocessing` appears, so that this folder never exists without its recipe.
        shutil.rmtree(folder.preprocessing, ignore_errors=True)
        files.write(folder.recipe, recipes.dump(recipe))
        files.finish(unfinished, folder.preprocessing)
    _say_left_out(splits)
    return Started(recipe, folder, task, phases.load(task, folder.preprocessing)), splits


def save_models(current: Started, models: dict[str, keras.Model]) -> None:
    """Writes the models as `.keras` files, unless the files of the same checkpoints exist."""
    folder = current.folder
    checkpoints = phases.fingerprints(models, folder.checkpoints)
    if folder.models.is_dir() and phases.saved_from(folder.models) == checkpoints:
        return
    unfinished = folder.models.with_name(folder.models.name + files.UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(folder.models, ignore_errors=True)
    unfinished.mkdir()
    phases.save_models(current.task, current.preprocessing, models, unfinished, checkpoints)
    files.finish(unfinished, folder.models)


def provenance(current: Started) -> dict[str, Any]:
    """Returns everything that the results and exports of a finished run depend on."""
    stages = [stage.name for stage in current.task.stages(current.preprocessing)]
    return {
        "recipe": _sha256(current.recipe),
        "checkpoints": phases.fingerprints(stages, current.folder.checkpoints),
        "ikelos": ikelos.__version__,
        "tensorflow": tf.__version__,
    }


def _sha256(recipe: Recipe) -> str:
    """Returns the hash of everything in a recipe that decides figures and exports."""
    free = {"description", *free_keys(recipe)}
    values = recipes.leaves(recipes.plain(recipe))
    deciding = {key: value for key, value in values if key not in free and key.split(".")[0] not in AFTER_EXPORT}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def weights_sha256(recipe: Recipe, splits: Splits) -> str:
    """Returns the hash of everything that decides the weights, in a recipe and in its prepared data.

    The served run that a pipeline begins with (`pipeline.warm_start`) is in neither of them.
    """
    free = free_keys(recipe)
    values = [
        (key, value)
        for key, value in recipes.leaves(recipes.plain(recipe))
        if key.split(".")[0] not in AFTER_TRAINING and not key.startswith("data.source.") and key not in free
    ]
    data = {name: split.sha256() for name, split in splits.items()}
    return hashlib.sha256(json.dumps([values, data], sort_keys=True).encode()).hexdigest()


def _earlier_results(folder: Folder, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the content of `evaluation.json`; None if its provenance differs or its report is missing."""
    if not (folder.evaluation.is_file() and all(page.is_file() for page in _pages(folder).values())):
        return None
    results = json.loads(folder.evaluation.read_text(encoding="utf-8"))
    return results if results.get("provenance") == wanted else None


def measure(current: Started, splits: Splits, models: dict[str, keras.Model], into: Folder) -> dict[str, Any]:
    """Evaluates the models, and writes the report and the figures into a folder.

    Args:
        current: The run.
        splits: Its data.
        models: Its trained models by stage.
        into: Folder for the report and `evaluation.json`.

    Returns:
        The content of `evaluation.json`.
    """
    folder = current.folder
    _say("evaluation", _EVALUATING)
    results = phases.evaluate(current.task, current.preprocessing, splits, models)
    results["provenance"] = provenance(current)
    if folder.start.is_file():
        results["from"] = json.loads(folder.start.read_text(encoding="utf-8"))
    _say("report", f"writing to {into.report}")
    folders = {name: folder.stage(name) for name in models}
    histories = {name: history.read(folder.history(name)) for name in models}
    finished = Finished(current.preprocessing, splits, models, results, histories, folders)
    phases.report(current.task, finished, into.report)
    # Written last, so that figures in the folder always have their report.
    files.write(into.evaluation, json.dumps(results, indent=2) + "\n")
    return results


def _outcome(current: Started, results: dict[str, Any]) -> Outcome:
    return {
        "Result": current.task.headline(results),
        "Evaluation": current.folder.evaluation,
        **_pages(current.folder),
        "Keras models": current.folder.models,
    }


def _pages(folder: Folder) -> dict[str, Path]:
    return {"Report": folder.report / "report.html", "Report's numbers": folder.report / "report.json"}


def newest_export(current: Started, models: dict[str, keras.Model]) -> Path:
    """Returns the newest version of the served model, which is written first unless it has these weights."""
    version = serving.newest(current.folder.export)
    if version is None or serving.read_provenance(version) != provenance(current):
        return _export(current, models)
    _say("export", f"skipped, as version {version.name} has these weights")
    return version


def _export(current: Started, models: dict[str, keras.Model]) -> Path:
    """Writes the next version of the served model into the run's folder, checks it and returns its folder."""
    _say("export", "writing a SavedModel and running it in stock TensorFlow")
    wanted = provenance(current)
    about = card.of_run(current.recipe, current.task, wanted, _earlier_results(current.folder, wanted))
    return phases.export(current.task, current.preprocessing, models, current.folder.export, about)


def _say_data() -> None:
    _say("data", "preparing, unless the cache has it already")


def _say_left_out(splits: Splits) -> None:
    """Prints for each split how many faulty and empty examples were left out, if any."""
    for name, split in splits.items():
        if words := description.left_out(split.facts()):
            _say("data", f"left out of {name}: {words}")


def _say(phase: str, text: str) -> None:
    """Prints that a phase begins."""
    console().print(f"[cyan]{phase}[/cyan]: {shown(text)}", soft_wrap=True)
