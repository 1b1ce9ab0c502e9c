import errno
import gzip

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import TextSource
from ikelos.pipelines.text.documents import documents

SPLITS = {"train": "train", "validation": "validation", "test": "test"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def files(train, validation="held/*", test="held/*"):
    return TextSource(files={"train": tuple(train), "validation": (validation,), "test": (test,)})


def hold_out(folder):
    for name in ("validation.txt", "test.txt"):
        (folder / name).write_text("held out")


def of_files(folder, *train):
    """The training documents of files, others being held out."""
    hold_out(folder)
    return list(documents(files(train, "validation.txt", "test.txt"), "train"))


def write_records(path, features, compression=None):
    with tf.io.TFRecordWriter(str(path), options=compression) as writer:
        for feature in features:
            values = {
                name: tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[value] if isinstance(value, bytes) else value)
                )
                for name, value in feature.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())


# TensorFlow Datasets


def test_our_data_set(data_dir, capsys):
    source = TextSource(tfds="shakespeare_plays", splits=SPLITS, data_dir=data_dir)
    found = {split: list(documents(source, split)) for split in ("train", "validation", "test")}
    assert [len(found[split]) for split in found] == [34, 1, 3]
    assert [name for name, _ in found["test"]] == ["macbeth", "richard-ii", "twelfth-night"]
    assert found["test"][0][1].startswith("# Macbeth\n\n## ACT I")
    assert found["test"] == list(documents(source, "test"))
    # It is prepared once, and says where.
    folder = f"{data_dir}/shakespeare_plays/1.0.0"
    assert capsys.readouterr() == ("", f"Preparing data set shakespeare_plays in {folder}\n")


def test_slices_of_splits(data_dir):
    splits = {"train": "train[:30]", "validation": "train[30:]", "test": "test"}
    source = TextSource(tfds="shakespeare_plays:1.0.0", splits=splits, data_dir=data_dir)
    assert [len(list(documents(source, split))) for split in SPLITS] == [30, 4, 3]


@pytest.mark.parametrize("name", ["imdb_reviews", "imdb_reviews/plain_text:1.0.0", "tiny_shakespeare"])
def test_any_data_set_by_name(name, data_dir):
    with tfds.testing.mock_data(num_examples=5):
        found = list(documents(TextSource(tfds=name, splits=SPLITS, data_dir=data_dir), "train"))
        expected = [e["text"].decode() for e in tfds.as_numpy(tfds.load(name, split="train", data_dir=data_dir))]
    assert [text for _, text in found] == expected
    assert [key for key, _ in found] == [f"train:{i}" for i in range(5)]


def test_another_feature(data_dir):
    with tfds.testing.mock_data(num_examples=2):
        source = TextSource(tfds="ag_news_subset", splits=SPLITS, text_feature="description", data_dir=data_dir)
        assert len(list(documents(source, "train"))) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"tfds": "shakespear_plays"},
            "unknown data set 'shakespear_plays'. Ikelos has: .*, shakespeare_plays. Nearest .*: tiny_shakespeare",
        ),
        ({"tfds": "imdb_revews/plain_text"}, "Nearest in TensorFlow Datasets: imdb_reviews"),
        ({"tfds": "/somewhere"}, "Nearest in TensorFlow Datasets: none"),
        ({"tfds": "imdb_reviews/fancy"}, "'imdb_reviews/fancy' .*configs: plain_text; versions: 1.0.0"),
        ({"tfds": "shakespeare_plays:9.9.9"}, "'shakespeare_plays:9.9.9' .*configs: none; versions: 1.0.0"),
        ({"text_feature": "words"}, "no text feature 'words'; its features: id, text; those of text: id, text"),
        ({"tfds": "imdb_reviews", "text_feature": "label"}, "no text feature 'label'.*those of text: text"),
        (
            {"splits": {**SPLITS, "train": "tran"}},
            "has no split 'tran', or nothing in it; it has train, validation, test",
        ),
        ({"splits": {**SPLITS, "train": "train["}}, "has no split 'train\\[', or nothing in it; it has train"),
        ({"splits": {**SPLITS, "train": "train[:0]"}}, "has no split 'train\\[:0\\]', or nothing in it"),
    ],
)
def test_tfds_refuses(fields, message, data_dir):
    source = TextSource(**{"tfds": "shakespeare_plays", "splits": SPLITS, "data_dir": data_dir, **fields})
    with pytest.raises(UserError, match=message) as caught:
        list(documents(source, "train"))
    assert "\n" not in str(caught.value)


def test_data_dir_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    source = TextSource(tfds="shakespeare_plays", splits=SPLITS, data_dir=str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"'shakespeare_plays' can't be prepared in .*file/shakespeare_plays"):
        list(documents(source, "train"))


def test_two_processes_may_prepare_a_data_set_at_once(tmp_path, monkeypatch):
    source = TextSource(tfds="shakespeare_plays", splits=SPLITS, data_dir=str(tmp_path))
    prepare = tfds.core.DatasetBuilder.download_and_prepare

    def prepare_second(builder):
        """The other process's files are in place while these are being written."""
        prepare(tfds.builder("shakespeare_plays", data_dir=str(tmp_path)))
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", prepare_second)
    assert [len(list(documents(source, split))) for split in SPLITS] == [34, 1, 3]


# Files


def test_text_files(folder):
    (folder / "b.txt").write_text("second\n\n  é", newline="")
    with gzip.open(folder / "a.txt.gz", "wb") as file:
        file.write(b"first\r\n")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "c.txt").write_text("third")
    assert of_files(folder, "a*", "b.txt", "deep/**/*.txt", "b*") == [
        ("a.txt.gz", "first\r\n"),
        ("b.txt", "second\n\n  é"),
        ("deep/er/c.txt", "third"),
    ]


def test_empty_documents_are_left_out(folder):
    for name, text in (("a.txt", ""), ("b.txt", "\n"), ("c.txt", "")):
        (folder / name).write_text(text)
    assert of_files(folder, "[abc].txt") == [("b.txt", "\n")]


def test_records(folder):
    write_records(folder / "a.tfrecord", [{"text": [b"one"], "more": [b"x"]}, {"text": [b""]}, {"text": [b"two"]}])
    write_records(folder / "b.tfrecord.gz", [{"text": ["zwölf".encode()]}], "GZIP")
    assert of_files(folder, "*.tfrecord*") == [
        ("a.tfrecord:0", "one"),
        ("a.tfrecord:2", "two"),
        ("b.tfrecord.gz:0", "zwölf"),
    ]


def test_patterns_are_of_each_split(folder):
    for name in "abc":
        (folder / f"{name}.txt").write_text(name)
    source = files(["a.txt"], "b.txt", "c.txt")
    assert [next(documents(source, split))[1] for split in SPLITS] == ["a", "b", "c"]


def test_pattern_without_files(folder):
    with pytest.raises(UserError, match=rf"files.train: no file matches 'none/\*.txt' in {folder}"):
        of_files(folder, "none/*.txt")


def test_split_without_patterns(folder):
    with pytest.raises(UserError, match=r"files.train=\[\] has no text"):
        of_files(folder)


def test_unknown_suffix(folder):
    (folder / "a.csv").write_text("a")
    with pytest.raises(UserError, match=r"files.train: a.csv has none of the known suffixes .txt, .txt.gz, .tfrecord"):
        of_files(folder, "*.csv")


def test_file_in_two_splits(folder):
    with pytest.raises(UserError, match=r"validation.txt is in two splits: files.train and files.validation"):
        of_files(folder, "*.txt")


def test_empty_files(folder):
    (folder / "a.txt").write_text("")
    with pytest.raises(UserError, match=r"files.train=\['a.txt'\] has no text"):
        of_files(folder, "a.txt")


@pytest.mark.parametrize("kind", ["txt", "tfrecord"])
def test_not_utf8(folder, kind):
    (folder / "a.txt").write_bytes(b"good \xff bad")
    write_records(folder / "a.tfrecord", [{"text": [b"fine"]}, {"text": [b"good \xff bad"]}])
    place = {"txt": "a.txt", "tfrecord": "a.tfrecord:1"}[kind]
    with pytest.raises(UserError, match=rf"{place} is not valid UTF-8 at byte 5"):
        of_files(folder, f"a.{kind}")


@pytest.mark.parametrize("values", [[], [b"a", b"b"]])
def test_record_without_one_text(folder, values):
    write_records(folder / "a.tfrecord", [{"text": values, "label": [b"x"]}])
    with pytest.raises(UserError, match=rf"a.tfrecord: example 0 .*'text'; it has {len(values)} there, .* label, text"):
        of_files(folder, "a.tfrecord")


def test_broken_files(folder):
    whole = gzip.compress(b"text" * 100)
    (folder / "cut.txt.gz").write_bytes(whole[:-10])
    (folder / "plain.txt.gz").write_bytes(b"not compressed")
    (folder / "plain.tfrecord").write_bytes(b"not a record, not at all")
    (folder / "plain.tfrecord.gz").write_bytes(b"not a record, not at all")
    write_records(folder / "cut.tfrecord", [{"text": [b"one"]}])
    (folder / "cut.tfrecord").write_bytes((folder / "cut.tfrecord").read_bytes()[:-3])
    with tf.io.TFRecordWriter("other.tfrecord") as writer:
        writer.write(b"\xff\xff\xff")
    for name in ("cut.txt.gz", "plain.txt.gz"):
        with pytest.raises(UserError, match=rf"{name} can't be read"):
            of_files(folder, name)
    for name in ("plain.tfrecord", "plain.tfrecord.gz", "cut.tfrecord", "other.tfrecord"):
        with pytest.raises(UserError, match=rf"{name} can't be read as a TFRecord"):
            of_files(folder, name)
