"""Recipes with some of their sections, as the nodes of a pipeline get them. Needs no TFX."""

import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.recipe import loading
from ikelos.pipelines.tfx import partial


@pytest.mark.parametrize("name", loading.names())
def test_every_task_prepares_data_without_the_other_sections(name):
    recipe = recipes.load(name, [])
    part = partial.loaded(partial.text(recipe, "data"))
    assert part.config.data == recipe.config.data
    assert not hasattr(part.config, "export")
    assert type(tasks.of_recipe(part).preparation()) is type(tasks.of_recipe(recipe).preparation())
