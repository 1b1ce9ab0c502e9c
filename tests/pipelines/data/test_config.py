import subprocess
import sys

import pydantic
import pytest

from ikelos.pipelines.image.config import ImageSource
from ikelos.pipelines.text.config import TextSource

SPLITS = {"train": "train", "validation": "train[95%:]", "test": "test"}
FILES = {"train": ("a.txt",), "validation": ("b.txt",), "test": ("c.txt",)}


def test_a_source_is_a_data_set_or_files():
    assert TextSource(tfds="imdb_reviews", splits=SPLITS).text_feature == "text"
    assert TextSource(files=FILES).files.test == ("c.txt",)
    # The splits may stay in a recipe whose data set is replaced by files.
    assert ImageSource(files=FILES, splits=SPLITS).tfds is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "one of `tfds` and `files`.*Received: neither"),
        ({"tfds": "x", "splits": SPLITS, "files": FILES}, "one of `tfds` and `files`.*Received: both"),
        ({"tfds": "x"}, "`splits` must name the splits.*Received: tfds=x, splits=null"),
        ({"tfds": "x", "splits": {"train": "train"}}, "splits.validation"),
    ],
)
def test_refuses(fields, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        TextSource(**fields)


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from ikelos.pipelines.data.sources import available; names = list(available());"
        "print(names, [m for m in ('tensorflow', 'tensorflow_datasets', 'keras', 'numpy') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "['font_letters', 'mnist_digits', 'shakespeare_plays'] []"
