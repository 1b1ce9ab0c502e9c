import gzip
import json

import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import TurnSource
from ikelos.pipelines.text.turns import Reader, parsed

SPLITS = ("train", "validation", "test")


def section(**settings):
    """Returns the section of a recipe."""
    return TurnSource.model_validate_json(json.dumps(settings))


def source(folder, name, **settings):
    return section(files={split: [f"{folder}/{split}{name}"] for split in SPLITS}, **settings)


def found(reader, split="train", start=0):
    return [
        (conversation.name.rpartition("/")[2], parsed(conversation.content))
        for conversation in reader.conversations(split, start)
    ]


def test_a_file_has_a_conversation_in_each_line(tmp_path):
    lines = ['{"turns": ["Hi!", "Hello."]}', "no JSON", '{"turns": []}']
    for split in SPLITS:
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
        (tmp_path / f"{split}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    reader = Reader(source(tmp_path, ".jsonl"))
    assert found(reader) == [
        ("train.jsonl:1", ["Hi!", "Hello."]),
        ("train.jsonl:2", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("train.jsonl:3", []),
    ]
    assert found(reader, start=2) == found(reader)[2:]
    assert [turns for _, turns in found(Reader(source(tmp_path, ".jsonl.gz")))] == [turns for _, turns in found(reader)]


@pytest.mark.parametrize(
    ("content", "turns"),
    [
        ({"turns": [" a\n b\t", "", "c"]}, ["a b c"]),
        ({"turns": ["a", "b", "c"], "roles": ["x", "y", "y"]}, ["a", "b c"]),
        ({"turns": ["a", "b", "c"], "roles": ["x", "x", "x"]}, ["a b c"]),
        ({"turns": ["a\u00a0b", "c"]}, ["a\u00a0b", "c"]),
        ({"turns": ["a", "b"], "roles": ["x"]}, 'has no text in "roles" for each of its 2 turns'),
        ({"turns": ["a", "b", "c"], "roles": ["z", "y", "x"]}, "has 3 speakers, not two: x, y, z"),
        ({"turns": ["a", 1]}, 'is not an object with a list of texts, "turns"'),
        ({"texts": ["a"]}, 'is not an object with a list of texts, "turns"'),
        (["a", "b"], 'is not an object with a list of texts, "turns"'),
        ({"turns": ["\ud800"]}, "is not valid UTF-8: surrogates not allowed"),
    ],
)
def test_turns_of_one_speaker_are_joined_and_others_refused(content, turns):
    assert parsed(json.dumps(content).encode()) == turns


def test_bytes_that_are_not_utf8_are_a_fault():
    assert parsed(b'{"turns": ["caf\xe9", "b"]}').startswith("is not valid UTF-8")


def test_an_integer_of_too_many_digits_is_a_fault():
    assert parsed(b'{"turns": ["a", "b"], "id": ' + b"9" * 5000 + b"}") == "has an integer of more than 4,300 digits"


def test_records_have_lists_of_turns(tmp_path):
    for split in SPLITS:
        with tf.io.TFRecordWriter(str(tmp_path / f"{split}.tfrecord")) as writer:
            for features in ({"said": [b"a", b"b"], "who": [b"x", b"x"]}, {"said": [b"caf\xe9"]}, {"other": [b"a"]}):
                lists = {name: tf.train.Feature(bytes_list={"value": values}) for name, values in features.items()}
                writer.write(tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString())
    conversations = Reader(source(tmp_path, ".tfrecord", turns_feature="said")).conversations("train")
    assert parsed(next(conversations).content) == ["a", "b"]
    assert parsed(next(conversations).content).startswith("is not valid UTF-8")
    with pytest.raises(UserError, match="example 2 must have bytes values in the feature 'said'"):
        next(conversations)
    roles = Reader(source(tmp_path, ".tfrecord", turns_feature="said", roles_feature="who"))
    assert parsed(next(roles.conversations("test")).content) == ["a b"]


def test_a_single_file_is_divided_by_its_lines(tmp_path):
    lines = [json.dumps({"turns": [f"a {number % 300}", "b"]}) for number in range(600)]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    reader = Reader(section(files=str(tmp_path / "all.jsonl"), splits={"validation": 0.1, "test": 0.2}))
    parts = {split: [one.content.decode() for one in reader.conversations(split)] for split in SPLITS}
    assert sorted(line for part in parts.values() for line in part) == sorted(lines)
    assert sum(len(set(part)) for part in parts.values()) == 300
    assert 0.1 < len(parts["test"]) / 600 < 0.3


def test_a_data_set_needs_a_list_of_texts(tmp_path):
    import tensorflow_datasets as tfds

    class IkelosTalk(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            text = tfds.features.Text()
            features = {"turns": tfds.features.Sequence(text), "who": tfds.features.Sequence(text), "topic": text}
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {split: self._generate_examples(split) for split in SPLITS}

        def _generate_examples(self, split):
            yield 0, {"turns": [split, "b", "c"], "who": ["x", "y", "y"], "topic": "t"}

    IkelosTalk(data_dir=tmp_path).download_and_prepare()

    def reader(**features):
        return Reader(section(tfds="ikelos_talk", data_dir=str(tmp_path), splits={s: s for s in SPLITS}, **features))

    assert found(reader(), "test") == [("test:0", ["test", "b", "c"])]
    assert found(reader(roles_feature="who")) == [("train:0", ["train", "b c"])]
    with pytest.raises(UserError, match=r"`data\.source\.turns_feature` must name .*: turns, who .* Received: topic"):
        list(reader(turns_feature="topic").conversations("test"))
