"""Compares evaluated runs: their metrics, their validation curves, and the keys in which their recipes differ."""

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ikelos.pipelines import phases, trained
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.recipe.sections import trainings
from ikelos.pipelines.report import charts, page
from ikelos.pipelines.report.sections import Column, Picture, Section, Table
from ikelos.pipelines.training import history
from ikelos.pipelines.training.history import Record

OTHER_DATA = "The runs were measured on different test data, so the figures cannot be compared."
MINUTES = Metric("minutes", "minutes of training", ".1f")


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a metric over runs that differ in their seeds alone.

    Attributes:
        mean: Mean over the runs.
        deviation: Sample standard deviation over the runs (with n - 1).
    """

    mean: float
    deviation: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        metrics: The task's metrics, and the minutes of training.
        figures: For each run, by its folder, the value of each metric by its name.
        spread: Mean and standard deviation of each metric by its name; empty unless the runs differ in their seeds
            alone.
        differences: For each dotted key in which the recipes differ, the value in each run.
        same_data: Whether all runs were measured on the same test data.
        written: Paths of the page and of the file with its numbers, by their display names.
    """

    metrics: tuple[Metric, ...]
    figures: dict[str, dict[str, float]]
    spread: dict[str, Spread]
    differences: dict[str, tuple[Any, ...]]
    same_data: bool
    written: dict[str, Path]


@dataclasses.dataclass(frozen=True)
class _Run:
    name: str
    recipe: Recipe
    results: dict[str, Any]
    stages: dict[str, tuple[Metric, list[Record]]]
    """The validation metric and the epoch records of each stage."""


def compare(runs: Sequence[Path], folder: Path) -> Comparison:
    """Compares evaluated runs of one task and writes a page about them.

    Args:
        runs: Folders of the runs, two or more.
        folder: Folder for `report.html` and `report.json`.

    Returns:
        The comparison.

    Raises:
        UserError: If a folder holds no run, its recipe is invalid, its weights have not been evaluated, or the runs are
            of several tasks.
        OSError: If the page cannot be written.
    """
    found = [_read(path) for path in runs]
    names = sorted({run.recipe.task for run in found})
    if len(names) > 1:
        raise UserError(f"runs to compare must be of one task. Received: runs of {', '.join(names)}")
    metrics = (*tasks.of_recipe(found[0].recipe).metrics, MINUTES)
    values = {run.name: _figures(run, metrics) for run in found}
    differences = recipes.difference(*(run.recipe for run in found))
    differences.pop("description", None)
    result = Comparison(
        metrics=metrics,
        figures=values,
        spread=_spread(values, metrics) if _differ_in_seeds(found, differences) else {},
        differences=differences,
        same_data=len({run.results["data"]["test"]["sha256"] for run in found}) == 1,
        written={},
    )
    facts = {
        "figures": values,
        "spread": {name: dataclasses.asdict(spread) for name, spread in result.spread.items()},
        "differences": differences,
    }
    title = f"{len(found)} runs: {found[0].recipe.task.replace('_', ' ')}"
    written = page.write(folder, title, facts, list(_sections(result, found)))
    return dataclasses.replace(
        result, written={"Comparison": written["Report"], "Its numbers": written["Report's numbers"]}
    )


def _read(path: Path) -> _Run:
    folder = Folder(path)
    folder.check()
    recipe = recipes.load(folder.recipe)
    task = tasks.of_recipe(recipe)
    stages = task.stages(phases.load(task, folder.preprocessing)) if folder.evaluation.is_file() else []
    checkpoints = phases.fingerprints([stage.name for stage in stages], folder.checkpoints)
    results = trained.read_figures(folder, checkpoints)
    if not results:
        raise UserError(f"the run in {path} has not been evaluated. Run its recipe in the same folder to continue it")
    curves = {
        stage.name: (
            stage.metric,
            [record for record in history.read(folder.history(stage.name)) if record["event"] == "epoch"],
        )
        for stage in stages
    }
    return _Run(str(path), recipe, results, curves)


def _figures(run: _Run, metrics: Sequence[Metric]) -> dict[str, float]:
    minutes = sum(epochs[-1]["seconds"] for _, epochs in run.stages.values()) / 60
    measured = run.results["model"] | {MINUTES.name: minutes}
    return {metric.name: measured[metric.name] for metric in metrics}


def _differ_in_seeds(runs: Sequence[_Run], differences: dict[str, tuple[Any, ...]]) -> bool:
    seeds = {f"{key}.seed" for key, _ in trainings(runs[0].recipe.config)}
    return bool(differences) and differences.keys() <= seeds


def _spread(values: dict[str, dict[str, float]], metrics: Sequence[Metric]) -> dict[str, Spread]:
    columns = {metric.name: [figures[metric.name] for figures in values.values()] for metric in metrics}
    return {name: Spread(statistics.fmean(column), statistics.stdev(column)) for name, column in columns.items()}


def _sections(comparison: Comparison, runs: Sequence[_Run]) -> Iterator[Section]:
    names = [run.name for run in runs]
    other = [] if comparison.same_data else [OTHER_DATA]
    yield Table(
        heading="Figures",
        prose=other,
        columns=[Column("Run"), *(Column(metric.unit, metric.format) for metric in comparison.metrics)],
        rows=[list(row) for row in rows(comparison)],
    )
    yield Table(
        heading="Differences between the recipes",
        prose=[] if comparison.differences else ["There are none."],
        columns=[Column("Key"), *(Column(name) for name in names)],
        rows=[[key, *map(recipes.written, values)] for key, values in comparison.differences.items()],
    )
    apart = any(key.startswith("data.") for key in comparison.differences)
    for stage, (metric, _) in runs[0].stages.items():
        curves = {run.name: run.stages[stage][1] for run in runs}
        yield Picture(
            prose=["The runs differ in data or preprocessing, so their curves cannot be compared."] if apart else [],
            heading="Validation" if len(runs[0].stages) == 1 else f"Validation: {stage.replace('_', ' ')}",
            figure=charts.validation_curves(curves, metric),
            alt=f"{metric.unit} of the validation data over the training steps of each run.",
        )


def rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yields the rows of the table of metrics as text.

    There is one row for each run, then one for the mean and one for the standard deviation if the runs differ in their
    seeds alone.
    """
    for name, values in comparison.figures.items():
        yield name, *(metric.text(values[metric.name]) for metric in comparison.metrics)
    if comparison.spread:
        # The mean of integers may be a fraction.
        finer = [dataclasses.replace(m, format=",.1f") if m.format.endswith("d") else m for m in comparison.metrics]
        yield "mean", *(metric.text(comparison.spread[metric.name].mean) for metric in finer)
        yield "standard deviation", *(metric.text(comparison.spread[metric.name].deviation) for metric in finer)
