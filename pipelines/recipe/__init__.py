"""Recipes: YAML files with every number of a run, which are read, overridden and checked without TensorFlow."""

from ikelos.pipelines.recipe.keys import Key, keys, section_classes
from ikelos.pipelines.recipe.loading import (
    ABSENT,
    Recipe,
    config_class,
    difference,
    dump,
    leaves,
    load,
    names,
    plain,
    text,
    written,
)

__all__ = [
    "ABSENT",
    "Key",
    "Recipe",
    "config_class",
    "difference",
    "dump",
    "keys",
    "leaves",
    "load",
    "names",
    "plain",
    "section_classes",
    "text",
    "written",
]
