"""Runs a recipe from its data to a served model: the local caller of the phases.

Knows where everything lies in a run's folder, what is done already, and how to go on. Knows no task.
"""

import contextlib
import dataclasses
import hashlib
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import ikelos
from ikelos import serving
from ikelos.pipelines import phases
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.console import console, shown
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.lock import locked
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.recipe.sections import Section, Training
from ikelos.pipelines.task import Finished, Task
from ikelos.pipelines.training import checkpoint, history
from ikelos.serving import files

Outcome = dict[str, Path | str]
"""What the command line prints at the end: names, and where something lies or what came out."""


@dataclasses.dataclass(frozen=True)
class _Run:
    """A recipe in its folder, with what was learned before the model."""

    recipe: Recipe
    workdir: Path
    task: Task[Any, Any]
    preprocessing: Preprocessing


def run(recipe: Recipe, workdir: Path) -> Outcome:
    """Trains, evaluates, reports and exports; goes on where an earlier run of the same recipe was ended.

    What was made already of the same weights, by the same recipe and versions of Ikelos and TensorFlow, is not
    made again: a finished run repeated writes nothing new. `evaluate` and `export` make theirs anew.

    Args:
        recipe: What to run.
        workdir: Where everything is written; a run of another recipe in it is refused.

    Returns:
        Where it wrote what, and the result.

    Raises:
        UserError: If `workdir` holds a run of another recipe, or another process is at work in it.
    """
    with locked(workdir):
        _check_same_run(recipe, workdir)
        current, splits = _prepare(recipe, workdir)
        models = phases.train(current.task, current.preprocessing, splits, _stages_folder(workdir).joinpath)
        provenance = _provenance(current)
        results = _earlier_results(workdir, provenance)
        if results is None:
            results = _evaluate(current, splits, models)
        else:
            _say("evaluation", "of these weights is there already")
        outcome = _outcome(current, results)
        if recipe.config.export.enabled:
            version = serving.newest(workdir / "export")
            if version is None or serving.read_provenance(version) != provenance:
                version = _export(current, models)
            else:
                _say("export", f"of these weights is there already, as version {version.name}")
            outcome["SavedModel"] = version
        return outcome | {"TensorBoard": f"tensorboard --logdir {shlex.quote(str(_stages_folder(workdir)))}"}


def describe(recipe: Recipe) -> phases.Description:
    """Prepares the data of a recipe, unless it is prepared, and looks at it."""
    return phases.describe(tasks.of_recipe(recipe))


def evaluate(workdir: Path) -> Outcome:
    """Evaluates the trained model of a run again and writes its report anew."""
    with _trained(workdir) as (current, models):
        _say("data", "prepares it, unless it is prepared")
        splits = phases.read(current.task, _preprocessing_folder(workdir))
        return _outcome(current, _evaluate(current, splits, models))


def export(workdir: Path) -> Outcome:
    """Exports the trained model of a run as the next version; its data need not be there any more."""
    with _trained(workdir) as (current, models):
        return {"SavedModel": _export(current, models)}


@contextlib.contextmanager
def _trained(workdir: Path) -> Iterator[tuple[_Run, dict[str, keras.Model]]]:
    """A run whose stages are all trained, and its models."""
    recipe = recipes.load(workdir / "recipe.yaml")
    with locked(workdir):
        folder = _preprocessing_folder(workdir)
        if not folder.is_dir():
            raise UserError(f"The run in {workdir} has not begun to train: run its recipe in the same folder.")
        task = tasks.of_recipe(recipe)
        preprocessing, models = phases.restore(task, folder, _stages_folder(workdir).joinpath)
        yield _Run(recipe, workdir, task, preprocessing), models


def _check_same_run(recipe: Recipe, workdir: Path) -> None:
    """Refuses to go on with a run whose weights another recipe decided."""
    path = workdir / "recipe.yaml"
    if not path.is_file():
        return
    free = set(_free(recipe.config))
    trained = {
        key: values
        for key, values in recipes.difference(recipes.load(path), recipe).items()
        if key.split(".")[0] not in ("description", "evaluation", "export") and key not in free
    }
    if trained:
        key, (there, here) = next(iter(trained.items()))
        more = f" and {len(trained) - 1} more" if len(trained) > 1 else ""
        raise UserError(
            f"{workdir} holds a run of another recipe: {key} is {there} there and {here} here{more}. "
            "Choose another --workdir, or delete that one."
        )


def _free(section: Section, prefix: str = "") -> Iterator[str]:
    """The dotted keys of all training sections on which the weights do not depend."""
    if isinstance(section, Training):
        yield from (f"{prefix}{name}" for name in section.FREE)
    for name, value in section:
        if isinstance(value, Section):
            yield from _free(value, f"{prefix}{name}.")


def _preprocessing_folder(workdir: Path) -> Path:
    return workdir / "preprocessing"


def _stages_folder(workdir: Path) -> Path:
    """Where the stages are trained, each in the folder of its name."""
    return workdir / "stages"


def _prepare(recipe: Recipe, workdir: Path) -> tuple[_Run, Splits]:
    """Prepares the data, unless it is prepared, and takes over what was learned from it before the model."""
    task = tasks.of_recipe(recipe)
    folder = _preprocessing_folder(workdir)
    _say("data", "prepares it, unless it is prepared")
    if folder.is_dir():
        splits = phases.read(task, folder)
        files.write(workdir / "recipe.yaml", recipes.dump(recipe))
    else:
        # Under another name until it is whole: a folder called `preprocessing` is a finished one.
        unfinished = folder.with_name(folder.name + files.UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        splits = phases.prepare(task, unfinished)
        # Between the two: a recipe whose data is not found leaves none behind, and preprocessing never lacks its own.
        files.write(workdir / "recipe.yaml", recipes.dump(recipe))
        files.finish(unfinished, folder)
    return _Run(recipe, workdir, task, phases.load(task, folder)), splits


def _provenance(current: _Run) -> dict[str, Any]:
    """What the results and exports of a finished run depend on."""
    stages, folder = current.task.stages(current.preprocessing), _stages_folder(current.workdir)
    return {
        "recipe": hashlib.sha256(recipes.dump(current.recipe).encode()).hexdigest(),
        "checkpoints": {stage.name: checkpoint.fingerprint(folder / stage.name / "checkpoints") for stage in stages},
        "ikelos": ikelos.__version__,
        "tensorflow": tf.__version__,
    }


def _earlier_results(workdir: Path, provenance: dict[str, Any]) -> dict[str, Any] | None:
    """What `evaluation.json` holds, None if it is of something else or its report is gone."""
    path = workdir / "evaluation.json"
    if not (path.is_file() and all(page.is_file() for page in _pages(workdir).values())):
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    return results if results.get("provenance") == provenance else None


def _evaluate(current: _Run, splits: Splits, models: dict[str, keras.Model]) -> dict[str, Any]:
    _say("evaluation", "of the model and the baselines on the held-out data")
    results = phases.evaluate(current.task, current.preprocessing, splits, models)
    results["provenance"] = _provenance(current)
    folder = current.workdir / "report"
    _say("report", f"in {folder}")
    folders = {name: _stages_folder(current.workdir) / name for name in models}
    histories = {name: history.read(path / "history.jsonl") for name, path in folders.items()}
    phases.report(current.task, Finished(current.preprocessing, splits, models, results, histories, folders), folder)
    # Last: figures that stand there have their report.
    files.write(current.workdir / "evaluation.json", json.dumps(results, indent=2) + "\n")
    return results


def _outcome(current: _Run, results: dict[str, Any]) -> Outcome:
    return {
        "Result": current.task.headline(results),
        "Evaluation": current.workdir / "evaluation.json",
        **_pages(current.workdir),
    }


def _pages(workdir: Path) -> dict[str, Path]:
    return {"Report": workdir / "report" / "report.html", "Report's numbers": workdir / "report" / "report.json"}


def _export(current: _Run, models: dict[str, keras.Model]) -> Path:
    _say("export", "of a SavedModel, and its stock check")
    return phases.export(current.task, current.preprocessing, models, current.workdir / "export", _provenance(current))


def _say(phase: str, text: str) -> None:
    """Tells that a phase begins that takes a while."""
    console().print(f"[cyan]{phase}[/cyan]: {shown(text)}", soft_wrap=True)
