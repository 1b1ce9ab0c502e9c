import json
import shutil

import openapi_spec_validator
import pytest

from ikelos.serving.server.metadata import example_of
from ikelos.serving.server.versions import LONGEST_EXAMPLE, Version

PLACES = ("", "/versions/{version}", "/labels/{label}")


@pytest.fixture(scope="module")
def description(server):
    return server.http.get("/openapi.json").json()


def test_it_is_openapi(description):
    assert description["openapi"] == "3.1.0"
    openapi_spec_validator.validate(description)


def test_its_paths_are_those_of_the_served_versions(description):
    posts = [path for path, item in description["paths"].items() if "post" in item]
    assert posts == [
        f"/v1/models/{name}{place}:predict"
        for name, version in [("plain", 123), ("words", 1), ("writer", 1)]
        for place in (f"/versions/{version}", "")
    ]
    gets = {path for path, item in description["paths"].items() if "get" in item}
    models = {f"/v1/models/{{model}}{place}{end}" for place in PLACES for end in ("", "/metadata")}
    assert gets == {*models, "/monitoring/prometheus/metrics"}


def test_it_has_the_bounds_of_the_card(description):
    body = description["paths"]["/v1/models/words:predict"]["post"]["requestBody"]["content"]["application/json"]
    by_rows = next(form for form in body["schema"]["oneOf"] if form["title"] == "shout, by instances")
    row = by_rows["properties"]["instances"]["items"]["properties"]
    assert row["times"] == {
        "type": "integer",
        "minimum": -1000,
        "maximum": 1000,
        "description": "int32, -1000 to 1000",
    }


def test_it_lists_only_errors_that_a_path_can_give(description):
    paths = description["paths"]
    assert set(paths["/v1/models/words:predict"]["post"]["responses"]) == {
        *("200", "400", "403", "404", "408", "413", "429", "5XX")
    }
    assert set(paths["/v1/models/{model}"]["get"]["responses"]) == {"200", "400", "403", "404", "5XX"}
    assert set(paths["/monitoring/prometheus/metrics"]["get"]["responses"]) == {"200", "403", "5XX"}


def test_its_examples_are_answered(server, description):
    for path, item in description["paths"].items():
        if "post" not in item:
            continue
        for name, example in item["post"]["requestBody"]["content"]["application/json"]["examples"].items():
            response = server.http.post(path, json=example["value"])
            assert response.status_code == 200, (path, name, response.text)


def test_a_labelled_version_has_a_path(serving, models):
    with serving(models / "words", labels={"words": {"a/b": 1}}) as server:
        paths = server.http.get("/openapi.json").json()["paths"]
        assert "/v1/models/words/labels/a%2Fb:predict" in paths


def test_only_examples_that_json_has_and_a_reader_can_look_through_are_shown(models, tmp_path):
    shutil.copytree(models / "words" / "1", tmp_path / "1")
    path = tmp_path / "1" / "assets.extra" / "ikelos_examples.json"
    examples = json.loads(path.read_text())
    examples["shout"]["inputs"]["text"][0] = "a" * LONGEST_EXAMPLE
    examples["tokens"]["inputs"]["text"] = [float("nan")]
    path.write_text(json.dumps(examples))
    (path.parent / "ikelos_card.json").unlink()  # which has the size of the file
    version = Version("words", 1, tmp_path / "1")
    version.load()
    inputs = {"words": ["to", "be", "other"]}
    assert version.message == ""
    assert version.shown_examples == {"serving_default": (inputs, len(json.dumps(inputs)))}
    assert set(version.examples) == {"serving_default", "shout", "tokens"}
    assert example_of(version, "serving_default", 100) == inputs
    assert example_of(version, "serving_default", 10) == example_of(version, "shout", 10) == {}
    version.free()
    assert version.shown_examples == {}
