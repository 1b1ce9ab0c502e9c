import openapi_spec_validator
import pytest

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
