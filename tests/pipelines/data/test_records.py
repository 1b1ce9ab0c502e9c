import gzip
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ikelos.pipelines.data import records
from ikelos.pipelines.data.arrays import Arrays
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.data.preparation import prepare
from ikelos.pipelines.data.records import Record, Records
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.config import ImageSource
from ikelos.pipelines.image.preprocessing import ImagePreparation
from ikelos.pipelines.text.config import TextSource, Vocabulary
from ikelos.pipelines.text.encoding import TextPreparation

PATTERNS = {split: (f"{split}/**",) for split in SPLITS}


def texts(root):
    for split in SPLITS:
        (root / split).mkdir()
        for name, text in (("b.txt", b"to be"), ("a.txt", b"\xef\xbb\xbfor not"), ("c.txt", b"\xff"), ("d.txt", b"")):
            (root / split / name).write_bytes(text)
        (root / split / "e.txt.gz").write_bytes(gzip.compress(b"packed"))
        (root / split / "f.txt.gz").write_bytes(b"no gzip")
    return TextPreparation(TextSource(files=PATTERNS, allowed_faults=0.5), Vocabulary(kind="character", size=None))


def one_text(root):
    (root / "all.txt").write_text("".join(f"line {number}\n" for number in range(99)))
    source = TextSource(files="all.txt", splits={"validation": 0.1, "test": 0.1})
    return TextPreparation(source, Vocabulary(kind="character", size=None))


def images(root):
    for number, split in enumerate(SPLITS):
        for label in ("dog", "caf\u00e9"):
            (root / split / label).mkdir(parents=True)
            pixels = np.full([5, 4, 3], 40 * number + len(label), np.uint8)
            for suffix in ("png", "jpg"):
                Image.fromarray(pixels).save(root / split / label / f"a.{suffix}")
        (root / split / "dog" / "b.png").write_bytes(b"broken")
    return ImagePreparation(ImageSource(files=PATTERNS, allowed_faults=0.5), (5, 4, 3))


def letters(root):
    splits = {"train": "train[:9]", "validation": "validation[:4]", "test": "test[:4]"}
    return ImagePreparation(ImageSource(tfds="font_letters", splits=splits), (28, 28, 1))


def arrays(root):
    x = np.random.default_rng(0).normal(size=[5, 2]).astype("float32")
    return Arrays("points", {split: {"x": x + number, "y": np.arange(5)} for number, split in enumerate(SPLITS)})


def written(preparation, folder):
    folder.mkdir()
    records.write(folder, {split: preparation.records(split) for split in SPLITS}, preparation.about())
    return Records(folder)


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("make", [texts, one_text, images, letters, arrays])
def test_records_give_the_stores_of_their_source(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preparation = make(tmp_path)
    direct = prepare(preparation)
    kept = written(preparation, tmp_path / "examples")
    for split in SPLITS:  # what is prepared from records does not read the source
        shutil.rmtree(tmp_path / split, ignore_errors=True)
    monkeypatch.setenv("IKELOS_CACHE", str(tmp_path / "another cache"))
    again = prepare(preparation.from_records(kept))
    for split in SPLITS:
        assert again.splits[split].sha256() == direct.splits[split].sha256()
        assert again.splits[split].facts() == direct.splits[split].facts()
    assert files_in(again.folder / "preprocessing") == files_in(direct.folder / "preprocessing")


def test_records_come_back_from_any_place_and_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "SHARD_BYTES", 100)
    some = [Record(f"n\udcff{number}", {"text": bytes(number), "label": -number, "name": "ä"}) for number in range(9)]
    records.write(tmp_path, dict.fromkeys(SPLITS, some), {"of": "all"})
    kept = Records(tmp_path)
    assert len(list((tmp_path / "Split-train").iterdir())) > 2
    assert kept.about == {"of": "all"}
    assert kept.size("train") == sum(range(9))
    expected = [Record(one.name, {**one.features, "name": "ä".encode()}) for one in some]
    assert list(kept.read("train")) == expected
    assert list(kept.read("test", 7)) == expected[7:]
    ours = [{"id": one.name, "order": place, "bytes": one.size} for place, one in enumerate(some)]
    assert list(kept.features("test")) == [mine | one.features for mine, one in zip(ours, expected, strict=True)]


def test_statistics_see_the_features(tmp_path):
    records.write(tmp_path, {"train": [Record("a", {"text": b"abc"})]}, {})
    (shard,) = (tmp_path / "Split-train").iterdir()
    (content,) = tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    example = tf.train.Example.FromString(content).features.feature
    assert {name: list(value.int64_list.value or value.bytes_list.value) for name, value in example.items()} == {
        "id": [b"a"], "order": [0], "bytes": [3], "text": [b"abc"]
    }  # fmt: skip


def test_missing_and_shuffled_examples_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "SHARD_BYTES", 1)
    records.write(tmp_path, {"train": [Record(name, {"text": b"abc"}) for name in "abc"]}, {})
    first, _, third = sorted((tmp_path / "Split-train").iterdir())
    third.rename(tmp_path / "third")
    with pytest.raises(UserError, match=r"must have 3 examples of train\. Received: 2"):
        list(Records(tmp_path).read("train"))
    (tmp_path / "third").rename(third)
    first.rename(third.with_name("examples-99999"))
    with pytest.raises(UserError, match="Received: the example 1 of train at the place 0"):
        list(Records(tmp_path).read("train"))


def test_what_cannot_be_an_example_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LARGEST", 2)
    with pytest.raises(UserError, match=r"a\.txt must have at most 2 bytes .* Received: 3 bytes"):
        records.write(tmp_path, {"train": [Record("a.txt", {"text": b"abc"})]}, {})
    with pytest.raises(UserError, match="'test' must have examples"):
        records.write(tmp_path, {"test": []}, {})


def test_names_of_features_that_are_taken_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`features` must have other names than id, order, bytes\. Received: order"):
        records.write(tmp_path, {"train": [Record("a", {"order": 3})]}, {})
