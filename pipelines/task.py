"""What a task is: all that the runner, a report and an export know of it."""

import abc
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

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
"""What was measured, by name: numbers, and dicts of such; JSON."""


@dataclasses.dataclass(frozen=True)
class Breakdown:
    """Into what parts the held-out data falls, each measured by itself.

    Attributes:
        name: Key of the parts' figures, by the part's name, among the model's and the baselines' figures.
        part: What one of them is, for people: `document`.
        shown: Most rows of the report's table: a data set of thousands of documents is none.
    """

    name: str
    part: str
    shown: int = 20


Config = TypeVar("Config", bound=TaskConfig)
Learned = TypeVar("Learned", bound=Preprocessing)


@dataclasses.dataclass(frozen=True)
class Finished(Generic[Learned]):
    """A run whose model is trained and measured.

    Attributes:
        preprocessing: What was learned before the model.
        splits: What it was trained and measured on.
        models: By stage.
        results: `"model"`, the figures of `Task.evaluate`; `"baselines"`, those of `Task.baselines`; the machine.
        histories: The records of training, by stage.
        folders: Of the stages, where the pictures lie that their records name.
    """

    preprocessing: Learned
    splits: Splits
    models: Models
    results: dict[str, Any]
    histories: Mapping[str, Sequence[Record]]
    folders: Mapping[str, Path]


class Task(abc.ABC, Generic[Config, Learned]):
    """One task, with one recipe's numbers. The runner calls its methods in the order in which they stand here.

    A task is found by its folder: `ikelos.pipelines.tasks.<task>`, with `config.Config` and `task.Task`.

    Attributes:
        config: The recipe.
        metrics: Keys of the figures that people look at; the first is the headline and what runs are compared by.
        counted: The figure that says on how much the metrics were measured, a plural: `characters`.
        breakdown: Into what parts the held-out data falls, if it does.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    counted: ClassVar[str]
    breakdown: ClassVar[Breakdown | None] = None

    def __init__(self, config: Config):
        self.config = config

    @abc.abstractmethod
    def preparation(self) -> Preparation[Learned]:
        """How the source becomes examples, and what is learned from them before the model."""

    def check_preprocessing(self, preprocessing: Learned, trained_with: Learned) -> None:
        """Refuses preprocessing with which a model that was trained with other would silently be wrong.

        For a model that is taken to other data, to be trained further or evaluated. `Preparation.taking_over` has
        taken over what it depends on by then, so that by default all is well.

        Raises:
            UserError: If it would.
        """

    @abc.abstractmethod
    def stages(self, preprocessing: Learned) -> Sequence[Stage]:
        """What is trained, in this order. No data is read for it."""

    @abc.abstractmethod
    def evaluate(self, preprocessing: Learned, splits: Splits, models: Models) -> Figures:
        """Figures on held-out data: `metrics`, `counted`, and more if wanted."""

    def baselines(self, preprocessing: Learned, splits: Splits) -> dict[str, Figures]:
        """The same figures of what one would do without this model, by name, each with the `minutes` it took."""
        return {}

    @abc.abstractmethod
    def signatures(self, preprocessing: Learned, models: Models) -> Sequence[Signature]:
        """What the server offers. No data is read for it."""

    @property
    def title(self) -> str:
        """Of the report."""
        return type(self).__module__.split(".")[-2].replace("_", " ").capitalize()

    @property
    def model_name(self) -> str:
        """Of our model, beside baselines and peers."""
        return "Ikelos, this recipe"

    @property
    def peers(self) -> Sequence[Peer]:
        """Other models' figures of the first metric: those that the recipe states, else those known of the data."""
        stated = self.config.evaluation.peers
        return self.known_peers if stated is None else stated

    @property
    def known_peers(self) -> Sequence[Peer]:
        """Other models' figures of the first metric on the recipe's data, and on no other."""
        return ()

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Paragraphs that say how model and baselines were measured."""
        return []

    def showcase(self, finished: Finished[Learned]) -> list[Section]:
        """Sections of the report to look at first."""
        return []

    def details(self, finished: Finished[Learned]) -> list[Section]:
        """Sections to end the report with."""
        return []

    def about_result(self, results: Mapping[str, Any]) -> str:
        """A few words behind the headline, on how it was measured; may be empty."""
        return ""

    def headline(self, results: Mapping[str, Any]) -> str:
        """What came out, in a line."""
        figures, first = results["model"], self.metrics[0]
        ours = ", ".join(f"{metric.text(figures[metric.name])} {metric.unit}" for metric in self.metrics)
        others = [f"{name}: {first.text(values[first.name])}" for name, values in results["baselines"].items()]
        about = self.about_result(results)
        where = f"on {figures[self.counted]:,} held-out {self.counted}" + (f" ({about})" if about else "")
        return "; ".join([f"{ours} {where}", *others])


def of_recipe(recipe: Recipe) -> Task[Any, Any]:
    """The task that a recipe is for."""
    return importlib.import_module(f"{loading.TASKS}.{recipe.task}.task").Task(recipe.config)
