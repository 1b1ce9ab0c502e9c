import pytest

from ikelos.pipelines.cli import main

pytestmark = pytest.mark.tfx

IMAGES = ["image_generation_vae", "image_generation_gan"]
# One recipe for each schema.
RECIPES = [*IMAGES, "language_modeling", "translation", "dialogue", "speech_recognition", "sequence_dynamics"]


def parsed(text):
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    return text_format.Parse(text, schema_pb2.Schema())


@pytest.mark.parametrize("name", RECIPES)
def test_inferred_features_are_in_the_schema_of_the_task(shrunk, capsys, name):
    from ikelos.pipelines.tfx import build

    recipe = shrunk(name)
    assert main(["schema", "infer", str(recipe.source)]) == 0
    inferred = parsed(capsys.readouterr().out)
    curated = {feature.name: feature for feature in parsed(build.schema(recipe)).feature}
    for feature in inferred.feature:
        assert feature.type == curated[feature.name].type
        assert feature.value_count == curated[feature.name].value_count
    required = {name for name, feature in curated.items() if feature.presence.min_fraction == 1}
    assert required <= {feature.name for feature in inferred.feature}
    # Every example has its own id, even if there are few of them.
    categories = {domain.name: list(domain.value) for domain in inferred.string_domain}
    assert "id" not in categories
    if name in IMAGES:
        assert categories == {"label": ["lying", "standing"]}


def test_an_inferred_schema_may_be_that_of_the_recipe(shrunk, tmp_path):
    import tensorflow_data_validation as tfdv

    from ikelos.pipelines.tfx import build, steps

    recipe, path = shrunk("image_generation_vae"), tmp_path / "schema.pbtxt"
    assert main(["schema", "infer", str(recipe.source), "--output", str(path)]) == 0
    rules = parsed(build.schema(shrunk("image_generation_vae", f"pipeline.examples_schema={path}")))
    (tmp_path / "examples").mkdir()
    steps.read(recipe, tmp_path / "examples")
    statistics = tfdv.generate_statistics_from_tfrecord(f"{tmp_path}/examples/Split-validation/*")
    assert not tfdv.validate_statistics(statistics, rules).anomaly_info
