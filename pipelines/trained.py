"""Loading of finished runs in Python."""

import dataclasses
import functools
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
        folder: The run's folder.
        recipe: The run's recipe.
        task: The run's task.
        preprocessing: The fitted preprocessing, such as a vocabulary or the names of classes.
        figures: The content of `evaluation.json`; empty unless it was measured with the weights of `checkpoints`.
        checkpoints: For each stage, the checkpoint from which its trained model was saved, as a dict: `file`, the
            file's name, and `sha256`, its checksum.
    """

    folder: Folder
    recipe: Recipe
    task: Task[Any, Any]
    preprocessing: Preprocessing
    figures: dict[str, Any]
    checkpoints: dict[str, dict[str, str]]

    @functools.cached_property
    def models(self) -> dict[str, keras.Model]:
        """The trained models by stage, not compiled, with the weights that were evaluated; loaded on first use."""
        return phases.load_models(self.checkpoints, self.folder.models)

    @property
    def model(self) -> keras.Model:
        """The model of the last stage."""
        return list(self.models.values())[-1]


def load(path: Path, argument: str = "run") -> Run:
    """Loads a finished run. Reads no data and writes nothing.

    Args:
        path: Folder of the run.
        argument: Name of the argument or of the recipe key that names the folder, for errors.

    Raises:
        UserError: If the folder holds no run, its recipe is invalid, or the run is not finished. A run that continues
            with more steps is not finished until they are trained.
    """
    folder = Folder(path)
    folder.check(argument)
    recipe = recipes.load(folder.recipe)
    task = tasks.of_recipe(recipe)
    if not folder.models.is_dir():
        raise UserError(
            f"`{argument}` must be a finished run. Received: {argument}={path}, which is not finished; run its recipe "
            "in the same folder to continue it"
        )
    preprocessing = phases.load(task, folder.preprocessing)
    names = [stage.name for stage in task.stages(preprocessing)]
    checkpoints = phases.saved_from(folder.models)
    if checkpoints != phases.fingerprints(names, folder.checkpoints):
        raise UserError(
            f"`{argument}` must be a finished run. Received: {argument}={path}, which was continued and is not "
            "finished; run its recipe in the same folder to continue it"
        )
    return Run(folder, recipe, task, preprocessing, read_figures(folder, checkpoints), checkpoints)


def read_figures(folder: Folder, checkpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Returns the content of `evaluation.json`; empty unless it was measured with the weights of `checkpoints`."""
    if not folder.evaluation.is_file():
        return {}
    figures = json.loads(folder.evaluation.read_text(encoding="utf-8"))
    return figures if figures["provenance"]["checkpoints"] == checkpoints else {}
