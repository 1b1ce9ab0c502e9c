"""Checks that a recipe fits the run that a folder holds. Imports no TensorFlow, so that a mistake is found at once."""

from collections.abc import Sequence
from typing import Any

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.recipe.sections import trainings

AFTER_EXPORT = ("pipeline", "serving")
"""Sections of a recipe on which neither figures nor exports depend."""
AFTER_TRAINING = ("description", "evaluation", "export", *AFTER_EXPORT)
"""Sections of a recipe on which the weights do not depend, except for the run that a pipeline begins with.

That run, chosen by `pipeline.warm_start`, is recorded beside the preprocessing, as the run of the key `from` is.
"""


def check_same_run(recipe: Recipe, folder: Folder) -> None:
    """Checks that a recipe may continue the run in a folder: it must give the same weights, or only add steps.

    A run that has not begun to train, such as one that was refused for its data, may continue with any recipe.

    Raises:
        UserError: If the folder holds a run of another recipe that has begun to train, or the run's recipe is invalid.
    """
    if not (folder.recipe.is_file() and folder.begun):
        return
    sections = list(trainings(recipe.config))
    free = free_keys(recipe)
    growing = {f"{key}.{name}" for key, section in sections for name in section.GROWING}
    lines = []
    for key, (there, here) in recipes.difference(recipes.load(folder.recipe), recipe).items():
        if key.split(".")[0] in AFTER_TRAINING or key in free or (key in growing and here > there):
            continue
        lines.append(_must_stay(key, f"at least {there}" if key in growing else recipes.written(there), here, folder))
    if lines:
        raise UserError("\n".join([*lines, "Choose another --workdir, or delete that one."]))


def load_to_evaluate(folder: Folder, overrides: Sequence[str]) -> tuple[Recipe, set[str]]:
    """Loads the recipe of a run and applies the overrides of an evaluation.

    Returns:
        The recipe, and the dotted keys whose values differ from the run's.

    Raises:
        UserError: If the recipe or an override is invalid, or an override changes a key other than `description` and
            those in `data.source` and `evaluation`.
    """
    recipe = recipes.load(folder.recipe, overrides)
    changes = recipes.difference(recipes.load(folder.recipe), recipe)
    for key, (there, here) in changes.items():
        if not key.startswith(("data.source", "evaluation.", "description")):
            raise UserError(_must_stay(key, recipes.written(there), here, folder))
    return recipe, set(changes)


def free_keys(recipe: Recipe) -> set[str]:
    """Returns the dotted keys of the trainings that change neither weights nor figures."""
    return {f"{key}.{name}" for key, section in trainings(recipe.config) for name in section.FREE}


def _must_stay(key: str, expected: str, here: Any, folder: Folder) -> str:
    return f"`{key}` must be {expected}, as in the run in {folder.path}. Received: {key}={recipes.written(here)}"
