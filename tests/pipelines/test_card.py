import json

import pytest

from ikelos.pipelines import card, recipe, task
from ikelos.pipelines.data import known
from ikelos.pipelines.data.config import Source


def test_a_run_that_was_measured_has_its_figures(points, finished):
    results = json.loads((finished / "evaluation.json").read_text())
    found = card.of_run(points(), task.of_recipe(points()), {"made": "here"}, results)
    assert (found.task, found.provenance) == ("Points", {"made": "here"})
    assert found.data["Examples of train"] == 64
    (metric,) = found.metrics
    assert metric == {
        "name": "accuracy",
        "unit": "share as asked for",
        "better": "more",
        "value": results["model"]["accuracy"],
        "others": {"a coin": 0.5},
    }


def test_the_figure_with_float32_weights_is_beside_that_with_the_stored_ones(points, finished):
    results = json.loads((finished / "evaluation.json").read_text()) | {"float32_model": {"accuracy": 0.75}}
    (metric,) = card.of_run(points(), task.of_recipe(points()), {}, results).metrics
    assert metric["others"] == {"with float32 weights": 0.75, "a coin": 0.5}


def test_a_run_that_was_not_measured_has_none(points):
    found = card.of_run(points(), task.of_recipe(points()), {}, None)
    assert (found.metrics, found.data) == ((), {})


def test_the_data_and_their_licence_are_named():
    loaded = recipe.load("language_modeling")
    found = card.of_run(loaded, task.of_recipe(loaded), {}, None)
    assert found.data == {"Source": "shakespeare_plays"}
    assert found.licence.startswith("Shakespeare's texts are in the public domain.")
    assert found.description.startswith("Next-character prediction on Shakespeare's plays")


def test_files_have_no_known_licence():
    source = recipe.load("language_modeling", ["data.source={files: texts, splits: {validation: 0.1, test: 0.1}}"])
    assert isinstance(source.config.data.source, Source)
    assert known.licence(source.config.data.source) == ""


@pytest.mark.parametrize("name", ["dialogue", "image_generation_gan", "number_translation", "speech_recognition"])
def test_every_data_set_of_ikelos_has_a_licence(name):
    assert known.licence(recipe.load(name).config.data.source)
