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
from ikelos.pipelines.recipe.sections import Pipeline, Section

_HEAD = ("task", "from")


def text(recipe: Recipe, *sections: str) -> str:
    """Returns a recipe with some of its sections as text; those that it does not have are left out.

    Args:
        recipe: The recipe.
        *sections: Names of sections, or of single keys of the section `pipeline`, such as `pipeline.blessing`.
    """
    plain = recipes.plain(recipe)
    part: dict[str, Any] = {}
    for name in (*_HEAD, *sections):
        section, _, key = name.partition(".")
        if key:
            part.setdefault(section, {})[key] = plain[section][key]
        elif name in plain:
            part[name] = plain[name]
    return json.dumps({"name": recipe.name, "versions": versions(), **part})


def versions() -> list[Any]:
    """Returns the versions of Ikelos, of TensorFlow and of the prepared data."""
    return [ikelos.__version__, importlib.metadata.version("tensorflow"), preparation.VERSION]


def loaded(part: str) -> Recipe:
    """Returns the recipe in a text. Its config lacks the sections and the keys that the text lacks."""
    raw = json.loads(part)
    name, _ = raw.pop("name"), raw.pop("versions")
    config_class = recipes.config_class(raw["task"], "a pipeline")
    return Recipe(
        name=name,
        task=raw["task"],
        description="",
        start=raw.get("from"),
        source="a pipeline",
        config=_constructed(config_class, raw),
        raw=raw,
    )


def _constructed(section_class: type[Section], raw: dict[str, Any]) -> Any:
    """Returns a section with those of its keys that `raw` has."""
    values = {}
    for key, value in raw.items():
        if key not in section_class.model_fields:
            continue
        if key == "pipeline":
            values[key] = _constructed(Pipeline, value)
        else:
            annotation: Any = section_class.model_fields[key].annotation
            # In strict mode, pydantic accepts a list for a tuple only from JSON, not from Python objects.
            values[key] = pydantic.TypeAdapter(annotation).validate_json(json.dumps(value))
    return section_class.model_construct(**values)
