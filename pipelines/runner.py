"""Runs a recipe from its data to a served model. Knows the shape of a task, and no task.

A task is a module `ikelos.pipelines.tasks.<task>.task` with these functions:

    fit_assets(config, folder)              writes what is learned from training data before the model
    load_assets(config, folder) -> assets   reads it, and the data in its terms
    stages(config, assets) -> [Stage]       what is trained, in order
    evaluate(config, assets, models), baselines(config, assets) -> plain figures on the same held-out data
    headline(results) -> str                what came out, in a line
    signatures(config, assets, models) -> [Signature]   what the server offers
    report(config, assets, models, results, histories) -> (title, facts, sections)

where `models` maps a stage's name to its trained model, and `results` has what `evaluate` and `baselines` gave as
`"model"` and `"baselines"`.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf
from rich.markup import escape

import ikelos
from ikelos import serving
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import report
from ikelos.pipelines.console import console
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import machine
from ikelos.pipelines.lock import locked
from ikelos.pipelines.recipe import Recipe, loading
from ikelos.pipelines.recipe.sections import Training
from ikelos.pipelines.training import checkpoint, history
from ikelos.pipelines.training.fit import fit, restore
from ikelos.pipelines.training.stage import Stage
from ikelos.serving import files

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
        current = _prepare(recipe, workdir)
        models = {stage.name: _fit(current, stage) for stage in current.stages}
        provenance = _provenance(current)
        results = _earlier_results(workdir, provenance)
        if results is None:
            results = _evaluate(current, models)
        else:
            _say("evaluation", "of these weights is there already")
        outcome = _told(current, results)
        if recipe.config.export.enabled:
            version = serving.newest(workdir / "export")
            if version is None or serving.read_provenance(version) != provenance:
                version = _export(current, models)
            else:
                _say("export", f"of these weights is there already, as version {version.name}")
            outcome["SavedModel"] = version
        return outcome | {"TensorBoard": f"tensorboard --logdir {workdir / 'stages'}"}


def evaluate(workdir: Path) -> Outcome:
    """Evaluates the trained model of a run again and writes its report anew."""
    with _finished(workdir) as (current, models):
        return _told(current, _evaluate(current, models))


def export(workdir: Path) -> Outcome:
    """Exports the trained model of a run as the next version."""
    with _finished(workdir) as (current, models):
        return {"SavedModel": _export(current, models)}


@contextlib.contextmanager
def _finished(workdir: Path) -> Iterator[tuple[_Run, dict[str, keras.Model]]]:
    """A run whose stages are all trained, and its models."""
    recipe = recipes.load(workdir / "recipe.yaml")
    with locked(workdir):
        current = _prepare(recipe, workdir)
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
    task = importlib.import_module(f"{loading.TASKS}.{recipe.task}.task")
    folder = workdir / "assets"
    unfinished = workdir / "assets.unfinished"
    if not folder.is_dir():
        _say("data", "learns from the training data what comes before the model")
        # Under another name until it is whole: a folder called `assets` is a finished one.
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        task.fit_assets(recipe.config, unfinished)
    # Between the two: a recipe whose data is not found leaves none behind, and assets never lack theirs.
    files.write(workdir / "recipe.yaml", recipes.dump(recipe))
    if not folder.is_dir():
        files.finish(unfinished, folder)
    _say("data", "reads and encodes it")
    assets = task.load_assets(recipe.config, folder)
    return _Run(recipe, workdir, task, assets, task.stages(recipe.config, assets))


def _folder(current: _Run, stage: Stage) -> Path:
    return current.workdir / "stages" / stage.name


def _fit(current: _Run, stage: Stage) -> keras.Model:
    return fit(stage, current.recipe.config.training, _folder(current, stage))


def _provenance(current: _Run) -> dict[str, Any]:
    """What the results and exports of a finished run depend on."""
    return {
        "recipe": hashlib.sha256(recipes.dump(current.recipe).encode()).hexdigest(),
        "checkpoints": {stage.name: _fingerprint(current, stage) for stage in current.stages},
        "ikelos": ikelos.__version__,
        "tensorflow": tf.__version__,
    }


def _fingerprint(current: _Run, stage: Stage) -> dict[str, str]:
    path = checkpoint.newest(_folder(current, stage) / "checkpoints")
    with path.open("rb") as file:
        return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _earlier_results(workdir: Path, provenance: dict[str, Any]) -> dict[str, Any] | None:
    """What `evaluation.json` holds, None if it is of something else or its report is gone."""
    path = workdir / "evaluation.json"
    if not (path.is_file() and all(page.is_file() for page in _pages(workdir).values())):
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    return results if results.get("provenance") == provenance else None


def _evaluate(current: _Run, models: dict[str, keras.Model]) -> dict[str, Any]:
    config, task = current.recipe.config, current.task
    start = time.monotonic()
    _say("evaluation", "of the model on the held-out data")
    figures = task.evaluate(config, current.assets, models)
    _say("baselines", "on the same data")
    results = {
        "model": figures,
        "baselines": task.baselines(config, current.assets),
        "evaluation_seconds": time.monotonic() - start,
        "machine": machine.describe(),
        "peak_memory_bytes": machine.peak_memory_bytes(),
        "provenance": _provenance(current),
    }
    folder = current.workdir / "report"
    _say("report", f"in {folder}")
    histories = {stage.name: history.read(_folder(current, stage) / "history.jsonl") for stage in current.stages}
    title, facts, sections = task.report(config, current.assets, models, results, histories)
    report.write(folder, title, facts, sections)
    files.sync_tree(folder)
    # Last: figures that stand there have their report.
    files.write(current.workdir / "evaluation.json", json.dumps(results, indent=2) + "\n")
    return results


def _told(current: _Run, results: dict[str, Any]) -> Outcome:
    return {
        "Result": current.task.headline(results),
        "Evaluation": current.workdir / "evaluation.json",
        **_pages(current.workdir),
    }


def _pages(workdir: Path) -> dict[str, Path]:
    return {"Report": workdir / "report" / "report.html", "Report's numbers": workdir / "report" / "report.json"}


def _export(current: _Run, models: dict[str, keras.Model]) -> Path:
    _say("export", "of a SavedModel, and its stock check")
    signatures = current.task.signatures(current.recipe.config, current.assets, models)
    return serving.export(
        current.workdir / "export", [current.assets, models], signatures, provenance=_provenance(current)
    )


def _say(phase: str, text: str) -> None:
    """Tells that a phase begins that takes a while."""
    console().print(f"[cyan]{phase}[/cyan]: {escape(text)}", soft_wrap=True)
