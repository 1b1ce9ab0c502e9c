"""The run named by the key `from` of a recipe, which gives another run its initial weights."""

import functools
import json
from pathlib import Path

import keras

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import trained
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.training.start import Start
from ikelos.serving import files


def find(recipe: Recipe) -> trained.Run | None:
    """Returns the run named by the key `from`; None if the recipe has no such key.

    Raises:
        UserError: If the folder holds no run, its recipe is invalid, or the run is not finished or has another task or
            architecture.
    """
    if recipe.start is None:
        return None
    origin = trained.load(Path(recipe.start).expanduser(), "from")
    if origin.recipe.task != recipe.task:
        raise UserError(
            f"`from` must be a run of the task {recipe.task}. Received: from={recipe.start}, a run of the task "
            f"{origin.recipe.task}"
        )
    others = [
        f"{key} is {recipes.written(there)} there and {recipes.written(here)} here"
        for key, (there, here) in recipes.difference(origin.recipe, recipe).items()
        if key.startswith("model.") and key not in recipe.config.TUNABLE
    ]
    if others:
        raise UserError(
            f"`from` must be a run of the same architecture: {', '.join(others)}. Received: from={recipe.start}"
        )
    return origin


def record(origin: trained.Run, path: Path) -> None:
    """Writes the folder and the checkpoints of the run named by `from` into `path`, a new run's `Folder.start`."""
    about = {"run": str(origin.folder.path), "checkpoints": origin.checkpoints}
    files.write(path, json.dumps(about, indent=2) + "\n")


def reused_preprocessing(folder: Folder) -> Path | None:
    """Returns the folder of the preprocessing that the data reuses; None if the recipe has no key `from`.

    It is the run's own folder, which has a copy, because the run named by `from` may have been deleted.
    """
    return folder.preprocessing if folder.start.is_file() else None


def start(recipe: Recipe, folder: Folder) -> Start | None:
    """Returns the source of the initial weights; None if the recipe has no key `from`.

    The other run is loaded when the weights are first used. That raises a UserError as `find` does, or if the run was
    trained further.
    """
    if recipe.start is None:
        return None

    @functools.cache
    def models() -> dict[str, keras.Model]:
        origin = find(recipe)
        assert origin is not None
        if origin.checkpoints != json.loads(folder.start.read_text(encoding="utf-8"))["checkpoints"]:
            raise UserError(
                "`from` must be a run with the weights that this run began with. Received: "
                f"from={recipe.start}, which was trained further since then"
            )
        return origin.models

    return Start(recipe.start, lambda stage: models()[stage])
