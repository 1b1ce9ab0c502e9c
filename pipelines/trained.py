"""A finished run in Python."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras

from ikelos.pipelines import phases
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.task import Task


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Where it lies.
        recipe: What was run.
        task: What it learned to do.
        preprocessing: What it learned before the model: a vocabulary, names of classes.
        models: The trained models, by the name of their stage, with the weights that were evaluated; not compiled.
        figures: What was measured, as in `evaluation.json`; empty if the run ended before it.
        checkpoints: Name and SHA-256 of the file that the weights of each stage come from.
    """

    folder: Folder
    recipe: Recipe
    task: Task[Any, Any]
    preprocessing: Preprocessing
    models: dict[str, keras.Model]
    figures: dict[str, Any]
    checkpoints: dict[str, dict[str, str]]

    @property
    def model(self) -> keras.Model:
        """That of the last stage."""
        return list(self.models.values())[-1]


def load(path: Path) -> Run:
    """Loads a finished run; reads no data and writes nothing.

    Raises:
        UserError: If there is none, or it was continued and has not come to its end.
    """
    folder = Folder(path)
    folder.check()
    recipe = recipes.load(folder.recipe)
    task = tasks.of_recipe(recipe)
    if not folder.models.is_dir():
        raise UserError(f"the run in {path} is not finished. Run its recipe in the same folder to continue it")
    preprocessing = phases.load(task, folder.preprocessing)
    names = [stage.name for stage in task.stages(preprocessing)]
    checkpoints = phases.saved_from(folder.models)
    if checkpoints != phases.fingerprints(names, folder.checkpoints):
        raise UserError(
            f"the run in {path} was continued and is not finished. Run its recipe in the same folder to continue it"
        )
    figures = json.loads(folder.evaluation.read_text(encoding="utf-8")) if folder.evaluation.is_file() else {}
    return Run(folder, recipe, task, preprocessing, phases.load_models(names, folder.models), figures, checkpoints)
