import gzip
import itertools
import json

import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import PairSource
from ikelos.pipelines.text.pairs import Reader

SPLITS = ("train", "validation", "test")


def section(**settings):
    """Returns the section of a recipe."""
    return PairSource.model_validate_json(json.dumps(settings))


def source(folder, name, **settings):
    return section(files={split: [f"{folder}/{split}{name}"] for split in SPLITS}, **settings)


def found(reader, split="train", start=0):
    return [(pair.name.rpartition("/")[2], pair.source, pair.target) for pair in reader.pairs(split, start)]


def test_a_table_has_a_pair_in_each_line(tmp_path):
    for split in SPLITS:
        (tmp_path / f"{split}.tsv").write_bytes(b"\xef\xbb\xbfone\teins\r\ntwo\tzwei\n\tdrei\nfour\nfive\tf\t5\n")
    reader = Reader(source(tmp_path, ".tsv"))
    pairs = list(reader.pairs("train"))
    assert found(reader) == [
        ("train.tsv:1", b"one", b"eins"),
        ("train.tsv:2", b"two", b"zwei"),
        ("train.tsv:3", b"", b"drei"),
        ("train.tsv:4", b"four", b""),
        ("train.tsv:5", b"five\tf\t5", b""),
    ]
    assert [pair.fault for pair in pairs] == ["", "", "", "has 0 tabs, not one", "has 2 tabs, not one"]
    assert found(reader, start=3) == found(reader)[3:]


def test_a_packed_table_is_unpacked_and_a_broken_one_refused(tmp_path):
    for split in SPLITS:
        (tmp_path / f"{split}.tsv.gz").write_bytes(gzip.compress(b"one\teins\n"))
    assert found(Reader(source(tmp_path, ".tsv.gz"))) == [("train.tsv.gz:1", b"one", b"eins")]
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"one\teins\n")[:-9])
    with pytest.raises(UserError, match=r"train\.tsv\.gz cannot be unpacked"):
        found(Reader(source(tmp_path, ".tsv.gz")))


def test_parallel_files_are_read_line_by_line(tmp_path):
    for split in SPLITS:
        (tmp_path / f"{split}.en").write_text("one\ntwo\n")
        (tmp_path / f"{split}.de").write_text("eins\nzwei\n")
    reader = Reader(source(tmp_path, ".en", endings=(".en", ".de")))
    assert found(reader, "test") == [("test.en:1", b"one", b"eins"), ("test.en:2", b"two", b"zwei")]
    before = reader.identity()
    (tmp_path / "train.de").write_text("eins\nzwei\ndrei\n")
    assert Reader(source(tmp_path, ".en", endings=(".en", ".de"))).identity() != before
    with pytest.raises(UserError, match=r"train\.de must have as many lines as .*train\.en, 2\. Received: more"):
        found(reader)
    (tmp_path / "train.de").unlink()
    with pytest.raises(UserError, match=r"`data.source.endings` .* Received: .*train\.en without train\.de"):
        found(reader)


def test_examples_of_records_have_both_features(tmp_path):
    for split in SPLITS:
        with tf.io.TFRecordWriter(str(tmp_path / f"{split}.tfrecord")) as writer:
            for texts in ({"en": b"one", "de": b"eins"}, {"en": b"two"}):
                features = {name: tf.train.Feature(bytes_list={"value": [text]}) for name, text in texts.items()}
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    reader = Reader(source(tmp_path, ".tfrecord", source_feature="en", target_feature="de"))
    pairs = reader.pairs("train")
    assert next(pairs).target == b"eins"
    with pytest.raises(UserError, match="example 1 must have one bytes value in the feature 'de'"):
        next(pairs)


def test_a_single_file_is_divided_by_its_source_texts(tmp_path):
    lines = [f"source {number % 400}\ttarget {number}" for number in range(800)]
    (tmp_path / "all.tsv").write_text("\n".join(lines))
    reader = Reader(section(files=str(tmp_path / "all.tsv"), splits={"validation": 0.1, "test": 0.2}))
    parts = {split: [(pair.source, pair.target) for pair in reader.pairs(split)] for split in SPLITS}
    assert sorted(itertools.chain(*parts.values())) == sorted(
        tuple(map(str.encode, line.split("\t"))) for line in lines
    )
    sources = [{first for first, _ in part} for part in parts.values()]
    assert sum(map(len, sources)) == 400
    assert 0.1 < len(parts["test"]) / 800 < 0.3
    assert sum(reader.size(split).number for split in SPLITS) == pytest.approx(
        (tmp_path / "all.tsv").stat().st_size, abs=3
    )


def test_spaces_do_not_decide_the_split_of_a_source_text(tmp_path):
    for number in range(40):
        lines = [f"say {number}\ta", f" say {number} \tb", f"\u00a0say {number}\u3000\tc"]
        (tmp_path / "all.tsv").write_bytes("\n".join(lines).encode() + b"\n\xff\td")
        reader = Reader(section(files=str(tmp_path / "all.tsv"), splits={"validation": 0.3, "test": 0.3}))
        sizes = [sum(pair.target != b"d" for pair in reader.pairs(split)) for split in SPLITS]
        assert sorted(sizes) == [0, 0, 3]


def test_a_data_set_needs_two_texts(toy_data_set):
    def reader(target):
        splits = {split: split for split in SPLITS}
        texts = {"source_feature": "text", "target_feature": target}
        return Reader(section(tfds="ikelos_toy", data_dir=toy_data_set(), splits=splits, **texts))

    assert [pair.source == pair.target for pair in reader("text").pairs("test")] == [True, True]
    with pytest.raises(UserError, match=r"`data\.source\.target_feature` must name .*: text .* Received: label"):
        list(reader("label").pairs("test"))


@pytest.mark.parametrize("endings", [[".en", ".en"], ["", ".de"]])
def test_endings_differ(endings):
    with pytest.raises(ValueError, match="`endings` must be two different endings"):
        section(files=["a"], splits={"validation": 0.1, "test": 0.1}, endings=endings)
