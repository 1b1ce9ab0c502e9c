import hashlib
import html.parser
import json

import numpy as np
import pytest
import tensorflow as tf

from ikelos.serving import Bound, Card, ExportError, Signature, export, read_card, read_provenance
from ikelos.serving.card import FILE, PAGE

CARD = Card(
    task="Telling <heaps> apart",
    description="One line.\nAnother & last.",
    data={"Source": "points", "Examples of train": 1234},
    licence="CC0",
    metrics=({"name": "accuracy", "unit": "", "better": "more", "value": 0.97531, "others": {"a coin": 0.5}},),
    provenance={"recipe": "abc", "checkpoints": {"judge": {"file": "x", "sha256": "y"}}},
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    x = tf.TensorSpec([None, 2], tf.float32)
    signature = Signature(
        "serving_default",
        lambda x, name: {"y": 2 * x, "name": name},
        {"x": x, "name": tf.TensorSpec([None], tf.string)},
        {"x": [[0.5, 1.0]], "name": ["<script>alert(1)</script>"]},
        "Doubles <x>.",
        {"x": Bound((0, 1)), "name": Bound(max_bytes=99)},
        max_rows=8,
    )
    return export(tmp_path_factory.mktemp("card"), [], [signature], card=CARD)


def test_it_says_what_the_exporter_said(made):
    card = read_card(made)
    assert card["task"] == CARD.task
    assert card["metrics"] == [dict(CARD.metrics[0])]
    assert read_provenance(made) == CARD.provenance


def test_it_says_what_the_version_holds(made):
    card = read_card(made)
    assert (card["flavour"], card["warmup_batch_sizes"]) == ("portable", [1, 8])
    assert {"python", "tensorflow", "keras"} <= card["versions"].keys()
    assert card["signatures"]["serving_default"] == {
        "doc": "Doubles <x>.",
        "max_rows": 8,
        "inputs": {
            "x": {"dtype": "float32", "shape": [None, 2], "bounds": {"values": [0, 1]}},
            "name": {"dtype": "string", "shape": [None], "bounds": {"max_bytes": 99}},
        },
        "outputs": {
            "name": {"dtype": "string", "shape": [None]},
            "y": {"dtype": "float32", "shape": [None, 2]},
        },
    }
    files = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert card["files"].keys() == files - {FILE, PAGE}
    for name, facts in card["files"].items():
        content = (made / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_page_is_whole_and_needs_nothing_else(made):
    class Parser(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.tags, self.text = [], set(), []

        def handle_starttag(self, tag, attributes):
            self.tags.add(tag)
            assert not {"src", "href", "onload", "onclick"} & dict(attributes).keys()
            if tag != "meta":
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            self.text.append(data)

    page, parser = (made / PAGE).read_text(encoding="utf-8"), Parser()
    parser.feed(page)
    assert parser.open == []
    assert "script" not in parser.tags
    assert "heaps" not in parser.tags
    assert not {"url(", "@import", "http:", "https:"} & set(page.split())
    text = " ".join(" ".join(parser.text).split())
    for said in (CARD.task, "Another & last.", "0.97531", "a coin", "1,234", "CC0", "0 to 1", "at most 99 bytes"):
        assert said in text
    assert "<script>alert(1)</script>" in text
    assert "A batch has at most 8 rows." in text


def test_a_version_without_a_card(tmp_path):
    assert read_card(tmp_path) is None
    assert read_provenance(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"flavour": "portable"}', "\ud800", "[" * 100_000])
def test_another_file_in_its_place(tmp_path, content):
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / FILE).write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ExportError, match=f"{tmp_path / FILE} must be as ikelos.serving.export wrote it. Export"):
        read_card(tmp_path)


def test_nothing_has_to_be_said(tmp_path):
    version = export(
        tmp_path,
        [],
        [Signature("f", lambda x: {"y": x}, {"x": tf.TensorSpec([None], tf.float32)}, {"x": [1.0]}, "A test.")],
    )
    card = json.loads((version / FILE).read_text())
    assert (card["task"], card["metrics"], card["provenance"]) == ("", [], None)
    assert "<h1>Model card</h1>" in (version / PAGE).read_text()


def metric(**changes):
    """Returns the metrics of a card, one with changes."""
    return ({"name": "mse", "unit": "", "value": 0.5, "better": "less", "others": {}} | changes,)


def test_numbers_of_numpy_are_written(tmp_path, unchecked):
    x = Signature("f", lambda x: {"y": x}, {"x": tf.TensorSpec([None], tf.float32)}, {"x": [1.0]}, "A test.")
    card = Card(data={"Examples": np.int64(3)}, metrics=metric(value=np.float32(1.5), others={"mean": np.float64(2)}))
    content = read_card(export(tmp_path, [], [x], card=card))
    assert content["data"] == {"Examples": 3}
    assert content["metrics"] == list(metric(value=1.5, others={"mean": 2.0}))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"task": None}, "`task` must be text. Received: task=None"),
        ({"licence": 3}, "`licence` must be text. Received: licence=3"),
        ({"data": "made up"}, "`data` must be a dict of facts by name. Received: data='made up'"),
        ({"data": {"a": {1}}}, r"`data\['a'\]` must be text, finite numbers.*Received: data\['a'\]={1}"),
        ({"provenance": "abc"}, "`provenance` must be a dict or None. Received: provenance='abc'"),
        ({"metrics": {"name": "mse"}}, "`metrics` must be a tuple of dicts. Received: metrics={"),
        (
            {"metrics": ({"name": "mse"},)},
            r"`metrics\[0\]` must be a dict with the keys name, unit, value, better, oth",
        ),
        ({"metrics": metric(name=3)}, r"`metrics\[0\]\['name'\]` must be text. Received: .*=3"),
        (
            {"metrics": metric(better="lower")},
            r"`metrics\[0\]\['better'\]` must be 'less' or 'more'. Received: .*'lower'",
        ),
        (
            {"metrics": metric(value=float("nan"))},
            r"`metrics\[0\]\['value'\]` must be a finite number. Received: .*=nan",
        ),
        ({"metrics": metric(value="0.5")}, r"`metrics\[0\]\['value'\]` must be a finite number. Received: .*='0.5'"),
        ({"metrics": metric(others={"mean": None})}, r"`metrics\[0\]\['others'\]` must be a dict of finite numbers by"),
    ],
)
def test_facts_that_do_not_fit(facts, message):
    with pytest.raises(ValueError, match=message):
        Card(**facts)
