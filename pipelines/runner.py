"""Runs a recipe from its data to a served model. Knows the shape of a task, and no task.

A task is a module `ikelos.pipelines.tasks.<task>.task` with these functions:

    fit_assets(config, folder)              writes what is learned from training data before the model
    load_assets(config, folder) -> assets   reads it, and the data in its terms
    stages(config, assets) -> [Stage]       what is trained, in order
    evaluate(config, assets, models), baselines(config, assets) -> plain figures on the same held-out data
    signatures(config, assets, models) -> [Signature]   what the server offers
    report(config, assets, models, results, histories) -> (title, facts, sections)

where `models` maps a stage's name to its trained model.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from ikelos import serving
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import report
from ikelos.pipelines.config import Training
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import machine
from ikelos.pipelines.lock import locked
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.training import history
from ikelos.pipelines.training.fit import fit, restore
from ikelos.pipelines.training.stage import Stage

Outcome = dict[str, Path | str]
"""What the command line prints at the end: names, and where something lies or what came out."""


@dataclasses.dataclass(frozen=True)
class _Run:
    """A recipe in its folder, with what every phase needs."""

    recipe: Recipe
    workdir: Path
    task: ModuleType
    assets: Any
    stages: list[Stage]


def run(recipe: Recipe, workdir: Path) -> Outcome:
    """Trains, evaluates, exports and reports; goes on where an earlier run of the same recipe was ended.

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
        current = _prepare(recipe, workdir)
        models = {stage.name: _fit(current, stage) for stage in current.stages}
        outcome = _evaluate(current, models)
        if recipe.config.export.enabled:
            outcome |= _export(current, models)
        return outcome | {"TensorBoard": f"tensorboard --logdir {workdir / 'stages'}"}


def evaluate(workdir: Path) -> Outcome:
    """Evaluates the trained model of a run again and writes its report anew."""
    with _finished(workdir) as (current, models):
        return _evaluate(current, models)


def export(workdir: Path) -> Outcome:
    """Exports the trained model of a run as the next version."""
    with _finished(workdir) as (current, models):
        return _export(current, models)


@contextlib.contextmanager
def _finished(workdir: Path) -> Iterator[tuple[_Run, dict[str, keras.Model]]]:
    """A run whose stages are all trained, and its models."""
    path = workdir / "recipe.yaml"
    if not path.is_file():
        raise UserError(f"{workdir} holds no run: there is no {path}. `ikelos run NAME --workdir {workdir}` makes one.")
    with locked(workdir):
        current = _prepare(recipes.load(path), workdir)
        yield (
            current,
            {
                stage.name: restore(stage, current.recipe.config.training, _folder(current, stage))
                for stage in current.stages
            },
        )


def _check_same_run(recipe: Recipe, workdir: Path) -> None:
    """Refuses to go on with a run whose weights another recipe decided."""
    path = workdir / "recipe.yaml"
    if not path.is_file():
        return
    free = {f"training.{key}" for key in Training.FREE}
    trained = {
        key: values
        for key, values in recipes.difference(recipes.load(path), recipe).items()
        if key.split(".")[0] in ("task", "data", "model", "training") and key not in free
    }
    if trained:
        key, (there, here) = next(iter(trained.items()))
        more = f" and {len(trained) - 1} more" if len(trained) > 1 else ""
        raise UserError(
            f"{workdir} holds a run of another recipe: {key} is {there} there and {here} here{more}. "
            "Choose another --workdir, or delete that one."
        )


def _prepare(recipe: Recipe, workdir: Path) -> _Run:
    task = importlib.import_module(f"{recipes.TASKS}.{recipe.task}.task")
    keras.utils.set_random_seed(recipe.config.training.seed)
    folder = workdir / "assets"
    unfinished = workdir / "assets.unfinished"
    if not folder.is_dir():
        # Under another name until it is whole: a folder called `assets` is a finished one.
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        task.fit_assets(recipe.config, unfinished)
    # Between the two: a recipe whose data is not found leaves none behind, and assets never lack theirs.
    _write(workdir / "recipe.yaml", recipes.dump(recipe))
    if not folder.is_dir():
        unfinished.rename(folder)
    assets = task.load_assets(recipe.config, folder)
    return _Run(recipe, workdir, task, assets, task.stages(recipe.config, assets))


def _folder(current: _Run, stage: Stage) -> Path:
    return current.workdir / "stages" / stage.name


def _fit(current: _Run, stage: Stage) -> keras.Model:
    return fit(stage, current.recipe.config.training, _folder(current, stage))


def _evaluate(current: _Run, models: dict[str, keras.Model]) -> Outcome:
    config = current.recipe.config
    start = time.monotonic()
    results = {
        "model": current.task.evaluate(config, current.assets, models),
        "baselines": current.task.baselines(config, current.assets),
        "evaluation_seconds": time.monotonic() - start,
        "machine": machine.describe(),
        "peak_memory_bytes": machine.peak_memory_bytes(),
    }
    _write(current.workdir / "evaluation.json", json.dumps(results, indent=2) + "\n")
    histories = {stage.name: history.read(_folder(current, stage) / "history.jsonl") for stage in current.stages}
    title, facts, sections = current.task.report(config, current.assets, models, results, histories)
    written = report.write(current.workdir / "report", title, facts, sections)
    return {"Evaluation": current.workdir / "evaluation.json", **written}


def _export(current: _Run, models: dict[str, keras.Model]) -> Outcome:
    signatures = current.task.signatures(current.recipe.config, current.assets, models)
    version = serving.export(current.workdir / "export", [current.assets, models], signatures)
    return {"SavedModel": version}


def _write(path: Path, text: str) -> None:
    """Writes a whole file or none."""
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
