import subprocess
import sys

import pydantic
import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.config import ImageSource
from ikelos.pipelines.text.config import TextSource

SPLITS = {"train": "train", "validation": "train[95%:]", "test": "test"}
SHARES = {"validation": 0.1, "test": 0.2}
FILES = {"train": ("a.txt",), "validation": ("b.txt",), "test": ("c.txt",)}


def test_a_source_is_a_data_set_or_files():
    assert TextSource(tfds="imdb_reviews", splits=SPLITS).text_feature == "text"
    assert TextSource(files=FILES).files.test == ("c.txt",)
    assert TextSource(files="a.txt", splits=SHARES).files == "a.txt"
    assert TextSource(files=("a.txt", "b"), splits=SHARES).splits.test == 0.2
    assert ImageSource(files=FILES).tfds is None


def test_a_title_has_the_name_of_the_data_set_or_the_patterns():
    assert TextSource(tfds="imdb_reviews", splits=SPLITS).title("texts") == "imdb_reviews"
    assert TextSource(files="a.txt", splits=SHARES).title("texts") == "own texts (a.txt)"
    assert ImageSource(files=FILES).title("images") == "own images (a.txt)"
    assert TextSource(files=tuple("abcd"), splits=SHARES).title("texts") == "own texts (a, b, c, ...)"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "one of `tfds` and `files`.*Received: neither"),
        ({"tfds": "x", "splits": SPLITS, "files": FILES}, "one of `tfds` and `files`.*Received: both"),
        ({"tfds": "x"}, "`splits` must name the splits.*Received: tfds=x, splits=null"),
        ({"tfds": "x", "splits": SHARES}, "`splits` must name the splits.*Received: tfds=x, splits=shares"),
        ({"files": "a.txt"}, "`splits` must be shares.*Received: splits=null"),
        ({"files": ("a.txt",), "splits": SPLITS}, "`splits` must be shares.*Received: splits=names"),
        ({"files": (), "splits": SHARES}, r"`files` must have a pattern\. Received: files=\[\]"),
        ({"files": FILES, "splits": SHARES}, "`splits` must be null.*Received: splits={validation: 0.1, test: 0.2}"),
        (
            {"files": FILES, "splits": SPLITS},
            "`splits` must be null.*Received: splits={train: train, validation: train",
        ),
        ({"files": "a", "splits": {"validation": 0.5, "test": 0.5}}, "must leave a share.*validation=0.5, test=0.5"),
        ({"files": "a", "splits": {"validation": 0.0, "test": 0.5}}, "greater than 0"),
        ({"tfds": "x", "splits": {"train": "train"}}, "splits.names.validation"),
        ({"tfds": "x", "splits": SPLITS, "spans": 2}, r"`spans` must be null with `tfds`\. Received: tfds=x, spans=2"),
        (
            {"files": ("a.txt", "b"), "splits": SHARES, "spans": 2},
            r"`spans` must be null unless a pattern of the training files has `\{SPAN\}`\. Received: spans=2, with the "
            "patterns a.txt, b",
        ),
        ({"files": FILES | {"test": ("{SPAN}.txt",)}, "spans": 2}, "`spans` must be null unless .*patterns a.txt"),
        (
            {"files": FILES | {"test": ("{SPAN}/{SPAN}.txt",)}},
            r"`files\.test` must have `\{SPAN\}` at most once in a pattern\. Received: \{SPAN\}/\{SPAN\}\.txt",
        ),
        ({"files": "{SPAN}.txt", "splits": SHARES, "spans": 0}, "greater than 0"),
    ],
)
def test_refuses(fields, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        TextSource(**fields)


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("{files: 3}", ["data.source.files must be a pattern, a list of patterns, or a section of train, validation"]),
        ("{files: [a, 3], splits: {validation: 0.1, test: 0.1}}", ["data.source.files.1 must be text. Received: 3"]),
        ("{files: {train: [a], test: [b]}}", ["missing key data.source.files.validation"]),
        ("{files: a, splits: {validation: 0.1}}", ["missing key data.source.splits.test"]),
        ("{files: a, splits: 0.1}", ["data.source.splits must be a section of train, validation and test, or of"]),
        ("{files: a, splits: {validation: 2.0, test: 0.1}}", ["data.source.splits.validation must be less than 1"]),
        ("{files: a, splits: {validaton: 0.1, test: 0.1}}", ["unknown key data.source.splits.validaton; the nearest"]),
    ],
)
def test_a_recipe_tells_its_mistakes(value, lines):
    with pytest.raises(UserError) as caught:
        recipes.load("language_modeling", [f"data.source={value}"])
    told = str(caught.value).splitlines()
    assert len(told) == len(lines)
    for line, expected in zip(told, lines, strict=True):
        assert expected in line


def test_shares_come_back_from_a_recipe(tmp_path):
    shares = "{files: [texts, 'more/**/*.txt'], splits: {validation: 0.1, test: 0.2}}"
    loaded = recipes.load("language_modeling", [f"data.source={shares}"])
    (tmp_path / "again.yaml").write_text(recipes.dump(loaded))
    again = recipes.load(tmp_path / "again.yaml", [])
    assert again.config.data.source == loaded.config.data.source
    assert again.config.data.source.files == ("texts", "more/**/*.txt")


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from ikelos.pipelines.data.sources import available; names = list(available());"
        "print(names, [m for m in ('tensorflow', 'tensorflow_datasets', 'keras', 'numpy') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    ours = "bible_verses chitchat_conversations font_letters mnist_digits number_words shakespeare_plays spoken_prompts"
    assert output.strip() == f"{ours.split()} []"
