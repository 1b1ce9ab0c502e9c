"""The recipe as a node of a pipeline gets it: with the sections that the node depends on, and no others.

A node is run again whenever its parameters change. So a node that reads data must not get the learning rate, and every
node gets the versions that its outputs depend on.
"""

import importlib.metadata
import json
from typing import Any

import pydantic

import ikelos
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.data import preparation
from ikelos.pipelines.recipe import Recipe

_HEAD = ("task", "from")


def text(recipe: Recipe, *sections: str) -> str:
    """Returns a recipe with some of its sections as text; those that it does not have are left out."""
    plain = recipes.plain(recipe)
    part = {key: plain[key] for key in (*_HEAD, *sections) if key in plain}
    return json.dumps({"name": recipe.name, "versions": versions(), **part})


def versions() -> list[Any]:
    """Returns the versions of Ikelos, of TensorFlow and of the prepared data."""
    return [ikelos.__version__, importlib.metadata.version("tensorflow"), preparation.VERSION]


def loaded(part: str) -> Recipe:
    """Returns the recipe in a text. Its config lacks the sections that the text lacks."""
    raw = json.loads(part)
    name, _ = raw.pop("name"), raw.pop("versions")
    config_class = recipes.config_class(raw["task"], "a pipeline")
    fields = config_class.model_fields
    sections = {
        # In strict mode, pydantic accepts a list for a tuple only from JSON, not from Python objects.
        key: pydantic.TypeAdapter(fields[key].annotation).validate_json(json.dumps(value))  # type: ignore[arg-type]
        for key, value in raw.items()
        if key in fields
    }
    return Recipe(
        name=name,
        task=raw["task"],
        description="",
        start=raw.get("from"),
        source="a pipeline",
        config=config_class.model_construct(**sections),
        raw=raw,
    )
