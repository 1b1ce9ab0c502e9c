import dataclasses
import re

import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import sections, serving
from ikelos.serving import deploy

SECTION = """
task: points
serving:
  versions: 2
  batching:
    batch_timeout_micros: 500
    num_batch_threads: 2
    max_enqueued_batches: 10
    pad_variable_length_inputs: false
  cpus: 3
  memory_gib: 1.5
  replicas: 2
  max_replicas: 3
  cpu_percent: 50
  request_mib: 1
  timeout_seconds: 10
  poll_seconds: 1
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(SECTION)
    return path


def test_a_section_becomes_settings(recipe):
    expected = deploy.Settings(2, deploy.Batching(500, 2, 10, False), 3.0, 1.5, 2, 3, 50, 1, 10, 1)
    assert serving.load(recipe).settings() == expected


@pytest.mark.parametrize("text", ["task: points\n", "task: points\nserving: null\n"])
def test_without_a_section_the_shipped_settings_hold(text, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    assert serving.load(recipe) == serving.load(None)
    assert serving.load(None).settings().batching is None


def test_overrides_change_single_keys(recipe):
    assert serving.load(recipe, ["serving.batching=null"]).batching is None
    assert serving.load(None, ["serving.cpus=8"]).cpus == 8
    assert serving.load(recipe, ["serving.batching.num_batch_threads=4"]).batching.num_batch_threads == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("serving.cpu=8", "--set serving.cpu=8: unknown key serving.cpu; the nearest valid key is serving.cpus"),
        ("serving.cpus=", "missing key serving.cpus"),
        ("serving.replicas=4", "--set serving.replicas=4: serving: `max_replicas` must be at least 4. Received: "),
        ("serving.batching.max_batch_size=4", "unknown key serving.batching.max_batch_size"),
        ("serving.versions=0", "--set serving.versions=0: serving.versions must be greater than 0. Received: 0"),
    ],
)
def test_a_wrong_override_is_an_error(recipe, override, message):
    with pytest.raises(UserError, match=re.escape(message)):
        serving.load(recipe, [override])


def test_a_mistake_in_a_recipe_is_told_by_its_line(recipe):
    recipe.write_text(SECTION.replace("cpus: 3", "cpus: many"))
    with pytest.raises(UserError, match=rf'{recipe}:10: serving.cpus must be a number. Received: "many"'):
        serving.load(recipe)


@pytest.mark.parametrize(
    ("section", "settings"), [(sections.Serving, deploy.Settings), (sections.Batching, deploy.Batching)]
)
def test_the_section_has_the_keys_of_the_settings(section, settings):
    assert list(section.model_fields) == [field.name for field in dataclasses.fields(settings)]
