"""The run that gives another run its initial weights: that of the key `from`, or the served one in a pipeline."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import keras

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import trained
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.training.start import Choice, Start
from ikelos.serving import files


def find(recipe: Recipe) -> trained.Run | None:
    """Returns the run named by the key `from`; None if the recipe has no such key.

    Raises:
        UserError: If the folder holds no run, its recipe is invalid, or the run is not finished or has another task or
            architecture.
    """
    if recipe.start is None:
        return None
    origin, choice = trained.load(Path(recipe.start).expanduser(), "from"), _choice(recipe.start)
    check_task(recipe, origin, choice)
    check_architecture(recipe, origin, choice)
    return origin


def _choice(start: str) -> Choice:
    return Choice("`from` must be a run", f"from={start}")


def check_task(recipe: Recipe, origin: trained.Run, choice: Choice) -> None:
    """Checks that a run to begin with has the recipe's task.

    Raises:
        UserError: If not.
    """
    if origin.recipe.task != recipe.task:
        raise choice.refused(f"of the task {recipe.task}", f", a run of the task {origin.recipe.task}")


def check_architecture(recipe: Recipe, origin: trained.Run, choice: Choice) -> None:
    """Checks that a run to begin with has the recipe's section `model`, except for the keys that may differ.

    Raises:
        UserError: If not.
    """
    others = [
        f"{key} is {recipes.written(there)} there and {recipes.written(here)} here"
        for key, (there, here) in recipes.difference(origin.recipe, recipe).items()
        if key.startswith("model.") and key not in recipe.config.TUNABLE
    ]
    if others:
        raise choice.refused(f"of the same architecture: {', '.join(others)}")


def record(origin: trained.Run, name: str, path: Path) -> None:
    """Writes what a new run begins with into `path`, its `Folder.start`.

    Args:
        origin: The run that gives its weights.
        name: The folder of this run, or the URI of its artifact.
        path: File to write.
    """
    about = {"run": name, "checkpoints": origin.checkpoints}
    files.write(path, json.dumps(about, indent=2) + "\n")


def reused_preprocessing(folder: Folder) -> Path | None:
    """Returns the folder of the preprocessing that the data reuses; None if the run began with no other run.

    It is the run's own folder, which has a copy, because the other run may have been deleted.
    """
    return folder.preprocessing if folder.start.is_file() else None


def start(recipe: Recipe, folder: Folder) -> Start | None:
    """Returns the source of the initial weights; None if the recipe has no key `from`.

    The other run is loaded when the weights are first used. That raises a UserError as `find` does, or if the run was
    trained further.
    """
    if recipe.start is None:
        return None

    def load() -> trained.Run:
        origin = find(recipe)
        assert origin is not None
        return origin

    return recorded(load, folder.start, _choice(recipe.start))


def recorded(load: Callable[[], trained.Run], path: Path, choice: Choice) -> Start:
    """Returns a source of initial weights that gives those of the checkpoints in a record, and no others.

    The run is loaded when the weights are first used. That raises a UserError if its checkpoints are others.

    Args:
        load: Function that loads the run.
        path: File that `record` wrote.
        choice: How the recipe chose the run.
    """

    @functools.cache
    def models() -> dict[str, keras.Model]:
        origin = load()
        if origin.checkpoints != json.loads(path.read_text(encoding="utf-8"))["checkpoints"]:
            raise choice.refused("with the weights that this run began with", ", which was trained further since then")
        return origin.models

    return Start(choice, lambda stage: models()[stage])
