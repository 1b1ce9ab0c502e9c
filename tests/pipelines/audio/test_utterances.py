import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.audio.config import AudioSource
from ikelos.pipelines.audio.pcm import shortened, wav_file
from ikelos.pipelines.audio.utterances import Reader
from ikelos.pipelines.errors import UserError

SPLITS = ("train", "validation", "test")
SOUND = wav_file(np.arange(9, dtype=np.int16), 8000)


def section(**settings):
    """Returns the section of a recipe."""
    return AudioSource.model_validate_json(json.dumps(settings))


def source(folder, name, **settings):
    return section(files={split: [f"{folder}/{split}{name}"] for split in SPLITS}, **settings)


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").write_bytes(SOUND)
    for split in SPLITS:
        (tmp_path / f"{split}.tsv").write_text("clips/a.wav\tone two\nclips/b.wav\tthree\nno tab\n")
    return source(tmp_path, ".tsv")


def test_a_table_names_files_next_to_it(tables, tmp_path):
    good, missing, bad = Reader(tables).utterances("train")
    assert (good.audio, good.text, good.fault) == (tmp_path / "clips" / "a.wav", b"one two", "")
    assert missing.fault.startswith("names a file that does not exist: ")
    assert bad.fault == "has 0 tabs, not one"
    assert good.name.endswith("train.tsv:1")
    assert list(Reader(tables).utterances("train", 1)) == [missing, bad]


def test_the_state_of_the_source_includes_the_audio(tables, tmp_path):
    before = Reader(tables).identity()
    assert Reader(tables).identity() == before
    (tmp_path / "clips" / "a.wav").write_bytes(SOUND + b"\0\0")
    assert Reader(tables).identity() != before


def test_records_have_the_bytes_of_the_files(tables):
    reader = Reader(tables)
    (chunk,) = reader.chunks("train")
    good, missing, _ = reader.records("train", chunk)
    assert good.features == {"audio": SOUND, "text": b"one two", "group": b"", "fault": b""}
    assert missing.features["audio"] == b""
    assert b"does not exist" in missing.features["fault"]


def test_examples_of_records_have_both_features(tmp_path):
    for split in SPLITS:
        with tf.io.TFRecordWriter(str(tmp_path / f"{split}.tfrecord")) as writer:
            for values in ({"sound": SOUND, "said": b"one", "who": b"x"}, {"said": b"two"}):
                features = {name: tf.train.Feature(bytes_list={"value": [value]}) for name, value in values.items()}
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    names = {"audio_feature": "sound", "text_feature": "said", "group_feature": "who"}
    found = Reader(source(tmp_path, ".tfrecord", **names)).utterances("train")
    first = next(found)
    assert (first.audio, first.text, first.group) == (SOUND, b"one", b"x")
    with pytest.raises(UserError, match="example 1 must have one bytes value in the feature 'sound'"):
        next(found)


def test_a_file_is_shortened():
    assert shortened(SOUND, 5 / 8000) == wav_file(np.arange(5, dtype=np.int16), 8000)
    assert shortened(SOUND, 1.0) == SOUND


def test_a_single_table_is_divided_by_its_transcripts(tmp_path):
    (tmp_path / "a.wav").write_bytes(SOUND)
    (tmp_path / "all.tsv").write_text("".join(f"a.wav\ttext {number % 200}\n" for number in range(400)))
    reader = Reader(section(files=str(tmp_path / "all.tsv"), splits={"validation": 0.1, "test": 0.2}))
    parts = {split: [one.text for one in reader.utterances(split)] for split in SPLITS}
    assert sum(map(len, parts.values())) == 400
    assert sum(len(set(part)) for part in parts.values()) == 200
    assert 0.1 < len(parts["test"]) / 400 < 0.3


def test_spaces_do_not_decide_the_split_of_a_transcript(tmp_path):
    for number in range(40):
        lines = [f"a.wav\tsay {number}", f"a.wav\t say   {number} ", f"a.wav\tsay\u00a0{number}\u3000"]
        (tmp_path / "all.tsv").write_bytes("\n".join(lines).encode() + b"\na.wav\t\xff")
        reader = Reader(section(files=str(tmp_path / "all.tsv"), splits={"validation": 0.3, "test": 0.3}))
        sizes = [sum(b"\xff" not in one.text for one in reader.utterances(split)) for split in SPLITS]
        assert sorted(sizes) == [0, 0, 3]


@pytest.fixture(scope="session")
def speech_data_set(tmp_path_factory):
    """Writes a data set of TensorFlow Datasets with samples as int64, classes and files; returns `data_dir`."""
    import tensorflow_datasets as tfds

    class IkelosSpeech(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "speech": tfds.features.Audio(sample_rate=8000),
                "unknown_rate": tfds.features.Audio(),
                "file": tfds.features.Tensor(shape=(), dtype=np.object_),
                "label": tfds.features.ClassLabel(names=["no", "yes"]),
                "number": tfds.features.Scalar(np.int64),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {split: self._generate_examples() for split in SPLITS}

        def _generate_examples(self):
            for index, samples in enumerate(([1, -2, 3], [1 << 15])):
                audio = np.array(samples, np.int64)
                yield index, {"speech": audio, "unknown_rate": audio, "file": SOUND, "label": index, "number": index}

    folder = str(tmp_path_factory.mktemp("tfds"))
    IkelosSpeech(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def of_tfds(speech_data_set):
    def reader(**features):
        splits = {split: split for split in SPLITS}
        return Reader(section(tfds="ikelos_speech", data_dir=speech_data_set, splits=splits, **features))

    return reader


def test_samples_and_classes_of_a_data_set_become_files_and_texts(of_tfds):
    for features in ({"audio_feature": "speech"}, {"audio_feature": "unknown_rate", "feature_rate": 8000}):
        found = list(of_tfds(text_feature="label", **features).utterances("test"))
        by_text = {one.text: one for one in found}
        assert by_text[b"no"].audio == wav_file(np.array([1, -2, 3]), 8000)
        assert by_text[b"yes"].fault == "has samples of more than 16 bits"
    assert [one.audio for one in of_tfds(text_feature="label", audio_feature="file").utterances("test")] == [SOUND] * 2


def test_groups_may_be_classes_too(of_tfds):
    found = of_tfds(text_feature="label", group_feature="label", audio_feature="file").utterances("test")
    assert sorted(one.group for one in found) == [b"no", b"yes"]


@pytest.mark.parametrize(
    ("features", "error"),
    [
        (
            {"audio_feature": "number"},
            r"audio_feature` must name .*: speech, unknown_rate, file \(of .* Received: number",
        ),
        ({"audio_feature": "speech", "text_feature": "number"}, "text_feature` must name .*: file, label"),
        (
            {"audio_feature": "unknown_rate"},
            "feature_rate` must be the samples per second .* Received: feature_rate=None",
        ),
        (
            {"audio_feature": "speech", "feature_rate": 9},
            "feature_rate` .* Received: feature_rate=9, in the data set: 8000",
        ),
        (
            {"audio_feature": "file", "feature_rate": 9},
            "feature_rate` .* Received: feature_rate=9, in the data set: files",
        ),
    ],
)
def test_features_that_do_not_fit_are_named(of_tfds, features, error):
    with pytest.raises(UserError, match=error):
        next(of_tfds(**{"text_feature": "label", **features}).utterances("test"))


def test_a_chunk_of_a_data_set_is_read_alone(of_tfds):
    reader = of_tfds(audio_feature="file", text_feature="label")
    both = list(itertools.chain.from_iterable(reader.utterances("test", chunk=[at, at + 1]) for at in range(2)))
    assert both == list(reader.utterances("test"))
