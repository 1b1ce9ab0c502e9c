import json
import shutil

import pytest


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/page/style.css", "text/css"),
        ("/page/script.js", "text/javascript"),
        ("/page/icon.svg", "image/svg+xml"),
    ],
)
def test_the_pages_files(server, path, kind):
    response = server.http.get(path)
    assert (response.status_code, response.headers["content-type"].split(";")[0]) == (200, kind)
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "http://" not in response.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in response.text


@pytest.mark.parametrize("name", ["absent.js", "..%2fpage_api.py", "..%2f..%2fstock.py", "%2e%2e", ""])
def test_no_other_file_is_served(server, name):
    response = server.http.get(f"/page/{name}")
    assert response.status_code == 404
    assert "error" in response.json()


def test_a_model_without_a_card(server):
    response = server.http.get("/page/card/plain")
    assert (response.status_code, response.json()) == (404, {"error": "There is no ikelos_card.html"})


def test_what_the_page_knows_of_the_models(server):
    plain, words, writer = server.http.get("/page/models").json()["models"]
    assert [model["name"] for model in (plain, words, writer)] == ["plain", "words", "writer"]
    assert plain["version"]["number"] == 123
    assert [signature["name"] for signature in plain["signatures"]] == [
        *("serving_default", "checked", "copy", "invert", "join", "slow")
    ]
    shout = next(signature for signature in words["signatures"] if signature["name"] == "shout")
    assert shout == {
        "name": "shout",
        "title": "shout",
        "doc": "Upper case.",
        "inputs": [
            {"name": "text", "dtype": "string", "shape": [None]}
            | {"values": [None, None], "max_bytes": 2000, "max_size": None, "limits": "at most 2,000 bytes"},
            {"name": "times", "dtype": "int32", "shape": [None]}
            | {"values": [-1000, 1000], "max_bytes": None, "max_size": None, "limits": "-1000 to 1000"},
        ],
        "outputs": [
            {"name": "length", "dtype": "int32", "shape": [None]},
            {"name": "text", "dtype": "string", "shape": [None]},
        ],
        "example": {"text": ["héllo", "world"], "times": [1, -2]},
    }
    (write,) = writer["signatures"]
    assert (write["name"], write["stream"]) == ("stream", True)
    assert list(write["example"]) == [tensor["name"] for tensor in write["inputs"]]
    assert write["inputs"][-1]["limits"] == "at most 64 bytes, at most 16 positions"


def test_a_text_comes_piece_by_piece(server):
    inputs = {"prompt": ["abcde"], "length": [10], "temperature": [0], "stop": [[]]}
    assert written(server, inputs) == ["5", "<i>6", "<i>7", "<i>8"]
    assert written(server, inputs | {"stop": [["7", ">"]]}) == ["5", "<i"]


def written(server, inputs):
    response = server.http.post("/page/stream/writer", json={"inputs": inputs})
    return [json.loads(line)["text"] for line in response.text.splitlines()]


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        ("absent", "{}", "Servable not found for request: Latest(absent)"),
        ("writer", "", "The body must have one row of `inputs`"),
        ("writer", '{"inputs": {"prompt": ["a", "b"]}}', "The body must have one row of `inputs`"),
        ("writer", '{"inputs": {"prompt": [3]}}', "input 'prompt' must hold str or bytes"),
        ("writer", '{"inputs": {"prompt": ["a"], "top_p": [2]}}', "`top_p` must be above 0 and at most 1"),
        (
            "writer",
            json.dumps({"inputs": {"prompt": ["a"], "stop": [["a"] * 17]}}),
            "`stop` must have at most 16 strings of at most 64 bytes. Received: 17 strings, the longest of 1 bytes",
        ),
        (
            "writer",
            json.dumps({"inputs": {"prompt": ["a"], "stop": [["é" * 33]]}}),
            "`stop` must have at most 16 strings of at most 64 bytes. Received: 1 strings, the longest of 66 bytes",
        ),
        ("writer", '{"inputs": {"prompt": ["a"], "stop": ["a"]}}', "`stop` must be a list of strings"),
        ("plain", '{"inputs": {"prompt": ["a"]}}', "The model must have the signatures prefill, decode_step, detok"),
    ],
)
def test_a_wrong_request_for_a_text(server, model, body, message):
    response = server.http.post(f"/page/stream/{model}", content=body)
    (line,) = response.text.splitlines()
    assert message in json.loads(line)["error"]


def test_a_card_runs_no_script(serving, models, tmp_path):

    shutil.copytree(models / "words", tmp_path / "words")
    card = tmp_path / "words" / "1" / "assets.extra" / "ikelos_card.html"
    card.write_text("<!doctype html><title>Card</title>")
    with serving(tmp_path / "words") as server:
        (model,) = server.http.get("/page/models").json()["models"]
        assert model["card"] is True
        response = server.http.get("/page/card/words")
        assert response.text == card.read_text()
        assert response.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
