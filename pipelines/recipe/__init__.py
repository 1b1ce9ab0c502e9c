"""Recipes: YAML files that hold every number of a run. Read, overridden and checked without TensorFlow."""

from ikelos.pipelines.recipe.loading import ABSENT, Recipe, difference, dump, leaves, load, names

__all__ = ["ABSENT", "Recipe", "difference", "dump", "leaves", "load", "names"]
