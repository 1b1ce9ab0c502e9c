"""The section `serving` of a recipe, or of the settings that take its place."""

import json
from collections.abc import Iterable
from pathlib import Path

import pydantic

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import errors as recipe_errors
from ikelos.pipelines.recipe import loading
from ikelos.pipelines.recipe.sections import Section, Serving

_SETTINGS = loading.RECIPES / "serving" / "settings.yaml"


class _Config(Section):
    serving: Serving


def load(recipe: Path | None, overrides: Iterable[str] = ()) -> Serving:
    """Reads the section `serving` of a recipe's file, applies overrides and checks it.

    Args:
        recipe: File of the recipe, None if there is none. A recipe without the section gets that of
            `tfx_configs/serving/settings.yaml`.
        overrides: Texts such as `"serving.cpus=4"`, as in `ikelos.pipelines.recipe.load`.

    Raises:
        UserError: If a file cannot be read, or a value or an override is invalid. The message has one line per mistake.
    """
    source, lines, section = str(_SETTINGS), {}, None
    if recipe is not None:
        content, found = loading.parse(loading.read(recipe), str(recipe))
        section = content.get("serving")
        if section is not None:
            source, lines = str(recipe), found
    if section is None:
        section, _ = loading.parse(loading.read(_SETTINGS), source)
    raw = {"serving": section}
    written, absent = loading.apply_overrides(raw, overrides)
    for path, text in absent.items():
        recipe_errors.check_known(path, text, _Config, raw)
    try:
        return _Config.model_validate_json(json.dumps(raw)).serving
    except pydantic.ValidationError as error:
        raise UserError(recipe_errors.explain(error, _Config, raw, source, lines, written)) from None
