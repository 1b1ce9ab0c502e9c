import pathlib

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from ikelos.serving.deploy import Release, Served, model_config

HAND_WRITTEN = """
model_config_list {
  config {
    name: 'lm'  base_path: "/models/lm"  model_platform: "tensorflow"
    model_version_policy: { specific: { versions: 7 versions: 6 } }
    version_labels { key: "stable" value: 7 }
    version_labels { key: "tuesday" value: 6 }
    logging_config {
      log_collector_config { type: "file" filename_prefix: "/logs/#1 \\"lm\\"" }
      sampling_config { sampling_rate: 0.25 }
    }
  }
  config { name: "other" base_path: "/models/other" model_platform: "tensorflow" }
}
"""


def official(text):
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def test_the_newest_versions_are_followed():
    models = [Served("lm", pathlib.Path("/x"), {}), Served("b.c", pathlib.Path("/y"), {})]
    config = official(model_config.following(models, 3)).model_config_list.config
    assert [model.name for model in config] == ["lm", "b.c"]
    assert [model.base_path for model in config] == ["/models/lm", "/models/b.c"]
    assert [model.model_platform for model in config] == ["tensorflow"] * 2
    assert [model.model_version_policy.latest.num_versions for model in config] == [3, 3]
    assert model_config.read(model_config.following(models, 3), "lm") == Release((), {})


def test_a_change_keeps_what_is_not_its_own():
    assert model_config.read(HAND_WRITTEN, "lm") == Release((6, 7), {"stable": 7, "tuesday": 6})
    release = Release((6, 8), {"stable": 8, "tuesday": 6})
    text = model_config.changed(HAND_WRITTEN, "lm", release)
    assert model_config.read(text, "lm") == release
    expected = official(HAND_WRITTEN)
    model = expected.model_config_list.config[0]
    model.model_version_policy.specific.versions[:] = [6, 8]
    model.version_labels["stable"] = 8
    assert official(text) == expected


def test_a_followed_model_becomes_pinned():
    text = model_config.following([Served("lm", pathlib.Path("/x"), {})], 1)
    policy = official(model_config.changed(text, "lm", Release((2,), {"stable": 2}))).model_config_list.config[0]
    assert policy.model_version_policy.WhichOneof("policy_choice") == "specific"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HAND_WRITTEN + "# mine", "must have no comments, as they would be lost. Received: line 15: # mine"),
        (HAND_WRITTEN.replace("config_list {", "config_list { # '", 1), "must have no comments"),
        (HAND_WRITTEN.replace("name:", "nane:", 1), 'must be a ModelServerConfig of TensorFlow Serving.*"nane"'),
        ("model_config_list {", "must be a ModelServerConfig of TensorFlow Serving. Received: "),
        (HAND_WRITTEN.replace("'lm'", "'nlp'"), "`model` must be one of the models of models.config, nlp, other"),
        (HAND_WRITTEN.replace('"other"', '"lm"'), "`model` must be one of the models of models.config, lm, lm"),
        ("", "`model` must be one of the models of models.config"),
    ],
)
def test_what_a_change_would_lose_or_mistake_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        model_config.changed(text, "lm", Release((1,), {}))
