"""The base class of tasks: the interface that the runner, reports and exports use."""

import abc
import dataclasses
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from ikelos.pipelines.data.preparation import Preparation
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.recipe import Recipe, loading
from ikelos.pipelines.recipe.sections import Peer, TaskConfig
from ikelos.pipelines.report.sections import Section
from ikelos.pipelines.training.history import Record
from ikelos.pipelines.training.stage import Models, Stage
from ikelos.serving import Signature

Figures = dict[str, Any]
"""Measured values by name: numbers, and nested dicts and lists of numbers, as in JSON."""


@dataclasses.dataclass(frozen=True)
class Breakdown:
    """The parts of the held-out data that are also measured separately.

    Attributes:
        name: Key in the model's and the baselines' figures that holds the figures of each part, by the part's name.
        part: Display name of one part, such as `document`.
        shown: Maximum number of rows in the report's table.
    """

    name: str
    part: str
    shown: int = 20


@dataclasses.dataclass(frozen=True)
class ByExample:
    """The first metric by example: it is the sum of `totals` divided by the sum of `weights`.

    Attributes:
        totals: float64 `[N]`, in the order of the test store.
        weights: Positive, float64 `[N]`.
    """

    totals: np.ndarray
    weights: np.ndarray


Config = TypeVar("Config", bound=TaskConfig)
Learned = TypeVar("Learned", bound=Preprocessing)


@dataclasses.dataclass(frozen=True)
class Finished(Generic[Learned]):
    """A trained and evaluated run.

    Attributes:
        preprocessing: The fitted preprocessing.
        splits: The data.
        models: The trained models by stage.
        results: The result of `phases.evaluate`: among others `"model"`, the figures of `Task.evaluate`, and
            `"baselines"`, those of `Task.baselines`.
        histories: The training records by stage.
        folders: The folders of the stages; pictures that the records name are relative to them.
    """

    preprocessing: Learned
    splits: Splits
    models: Models
    results: dict[str, Any]
    histories: Mapping[str, Sequence[Record]]
    folders: Mapping[str, Path]


class Task(abc.ABC, Generic[Config, Learned]):
    """Base class of tasks, configured by one recipe. The runner calls the methods in the order below.

    A task is a package `ikelos.pipelines.tasks.<task>` with `config.Config` and `task.Task`. Neither its `__init__` nor
    `preparation` may use more of the config than `data`: the nodes of a pipeline that read data have no other section.

    Attributes:
        config: The recipe's config.
        counted: Key of the figure for the amount of held-out data, a plural noun such as `characters`.
        breakdown: The parts of the held-out data that are also measured separately, if any.
        is_mean: Whether the first metric is a mean over the held-out examples; if so, `by_example` must be defined.
    """

    counted: ClassVar[str]
    breakdown: ClassVar[Breakdown | None] = None
    is_mean: ClassVar[bool] = False

    def __init__(self, config: Config):
        self.config = config

    @property
    @abc.abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that are shown; the first is the headline figure, by which runs are compared."""

    @abc.abstractmethod
    def preparation(self) -> Preparation[Learned]:
        """Returns the preparation, which turns the source into examples and fits the preprocessing."""

    def check_preprocessing(self, preprocessing: Learned, trained_with: Learned) -> None:
        """Checks that a model can be used with preprocessing that was fitted to other data than the model's.

        Called before a model is trained further or evaluated on other data, to prevent silently wrong results.
        `Preparation.reusing` has already kept the parts that the model depends on, so the default accepts
        everything.

        Args:
            preprocessing: The preprocessing of the other data.
            trained_with: The preprocessing that the model was trained with.

        Raises:
            UserError: If the model cannot be used with `preprocessing`.
        """

    @abc.abstractmethod
    def stages(self, preprocessing: Learned) -> Sequence[Stage]:
        """Returns the stages in the order of their training, without reading data."""

    @abc.abstractmethod
    def evaluate(self, preprocessing: Learned, splits: Splits, models: Models) -> Figures:
        """Returns the model's figures on held-out data: those of `metrics`, `counted` and any others."""

    def by_example(self, figures: Figures) -> ByExample:
        """Returns the first metric by example, from the figures of `evaluate`; only for tasks with `is_mean`."""
        raise NotImplementedError(f"{type(self).__module__} has `is_mean` and must have `by_example`.")

    def baselines(self, preprocessing: Learned, splits: Splits) -> dict[str, Figures]:
        """Returns the same figures for each baseline by its name, and its `minutes` of training, None if unknown."""
        return {}

    @abc.abstractmethod
    def signatures(self, preprocessing: Learned, models: Models) -> Sequence[Signature]:
        """Returns the signatures of the served model, without reading data."""

    @property
    def title(self) -> str:
        """Title of the report."""
        return type(self).__module__.split(".")[-2].replace("_", " ").capitalize()

    @property
    def model_name(self) -> str:
        """Display name of the model beside baselines and peers."""
        return "Ikelos, this recipe"

    @property
    def peers(self) -> Sequence[Peer]:
        """Other models' figures of the first metric: those in the recipe, or else `known_peers`."""
        stated = self.config.evaluation.peers
        return self.known_peers if stated is None else stated

    @property
    def known_peers(self) -> Sequence[Peer]:
        """Other models' figures of the first metric on exactly the recipe's data."""
        return ()

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Returns paragraphs on how the model and the baselines were measured."""
        return []

    def showcase(self, finished: Finished[Learned]) -> list[Section]:
        """Returns the sections that follow the headline of the report."""
        return []

    def details(self, finished: Finished[Learned]) -> list[Section]:
        """Returns the sections that follow those on the training in the report."""
        return []

    def about_result(self, results: Mapping[str, Any]) -> str:
        """Returns a few words on how the headline figure was measured; may be empty."""
        return ""

    def headline(self, results: Mapping[str, Any]) -> str:
        """Returns the result in one line: the model's metrics and the baselines' first metric.

        The baselines' figures have their unit if the model has several.
        """
        figures, first = results["model"], self.metrics[0]
        ours = ", ".join(f"{metric.text(figures[metric.name])} {metric.unit}" for metric in self.metrics)
        unit = f" {first.unit}" if len(self.metrics) > 1 else ""
        others = [f"{name}: {first.text(values[first.name])}{unit}" for name, values in results["baselines"].items()]
        about = self.about_result(results)
        where = f"on {figures[self.counted]:,} held-out {self.counted}" + (f" ({about})" if about else "")
        return "; ".join([f"{ours} {where}", *self.about_weights(results), *others])

    def about_weights(self, results: Mapping[str, Any]) -> list[str]:
        """Returns the first metric before and after, in one line, if the served model has other weights than float32.

        It has more digits than elsewhere, as the difference may be small.
        """
        if "float32_model" not in results:
            return []
        after, before = (results[key][self.metrics[0].name] for key in ("model", "float32_model"))
        return [f"weights stored as {self.config.export.weights}: {after:.6g}, as float32: {before:.6g}"]


def timed(measures: Mapping[str, Callable[[], Figures]]) -> dict[str, Figures]:
    """Returns the figures of baselines by name, each with the `minutes` that its function took."""
    found = {}
    for name, measure in measures.items():
        start = time.monotonic()
        found[name] = {**measure(), "minutes": (time.monotonic() - start) / 60}
    return found


def of_recipe(recipe: Recipe) -> Task[Any, Any]:
    """Returns the task of a recipe."""
    return importlib.import_module(f"{loading.TASKS}.{recipe.task}.task").Task(recipe.config)
