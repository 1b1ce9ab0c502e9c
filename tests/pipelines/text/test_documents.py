import errno
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from ikelos.pipelines.data import sources
from ikelos.pipelines.data.preparation import Size
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text import documents
from ikelos.pipelines.text.config import TextSource
from ikelos.pipelines.text.documents import Document, Reader

SPLITS = {"train": "train", "validation": "validation", "test": "test"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Changes to an empty working directory and returns it."""
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


def read(source, split, start=0):
    """Returns the names and texts of a split's documents, none of which may be faulty."""
    found = []
    for document in Reader(source).documents(split, start):
        assert documents.fault(document) is None
        found.append((document.name, "".join(piece.text for piece in documents.pieces(document))))
    return found


def of_files(folder, *train, start=0):
    """Returns the training documents of files; other files are held out."""
    hold_out(folder)
    return read(files(train, "validation.txt", "test.txt"), "train", start)


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
    found = {split: read(source, split) for split in SPLITS}
    assert [len(found[split]) for split in found] == [34, 1, 3]
    assert [name for name, _ in found["test"]] == ["macbeth", "richard-ii", "twelfth-night"]
    assert found["test"][0][1].startswith("# Macbeth\n\n## ACT I")
    assert found["test"] == read(source, "test")
    assert found["test"][1:] == read(source, "test", 1)
    assert Reader(source).size("train") == Size(34, "examples")
    # The data set is prepared once, and its folder is printed.
    folder = f"{data_dir}/shakespeare_plays/1.0.0"
    assert capsys.readouterr() == ("", f"Preparing data set shakespeare_plays in {folder}\n")


def test_slices_of_splits(data_dir):
    splits = {"train": "train[:30]", "validation": "train[30:]", "test": "test"}
    source = TextSource(tfds="shakespeare_plays:1.0.0", splits=splits, data_dir=data_dir)
    assert [len(read(source, split)) for split in SPLITS] == [30, 4, 3]


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
@pytest.mark.parametrize("name", ["ikelos_toy", "ikelos_toy:1.2.0"])
def test_any_data_set_by_name_in_either_format(toy_data_set, name, file_format):
    source = TextSource(tfds=name, splits=SPLITS, data_dir=toy_data_set(file_format))
    whole = read(source, "train")
    assert sorted(text for _, text in whole) == sorted(f"train {i}: é\n" * i for i in range(5))
    assert [key for key, _ in whole] == [f"train:{i}" for i in range(5)]
    for start in range(1, 6):
        assert read(source, "train", start) == whole[start:]
    sliced = source.model_copy(update={"splits": source.splits.model_copy(update={"train": "train[3:]"})})
    assert [text for _, text in read(sliced, "train")] == [text for _, text in whole[3:]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"tfds": "shakespear_plays"},
            r"^`tfds` must be a data set of Ikelos \(.*, shakespeare_plays, .*\) .* \(nearest: tiny_shakespeare.*\)\. "
            "Received: tfds=shakespear_plays$",
        ),
        ({"tfds": "imdb_revews/plain_text"}, r"TensorFlow Datasets \(nearest: imdb_reviews"),
        ({"tfds": "/somewhere"}, "`tfds` must be a name, or the folder .* Received: tfds=/somewhere"),
        ({"tfds": ""}, r"\(nearest: none\)\. Received: tfds=$"),
        ({"tfds": "nobody:mnist"}, r"known community\. Received: tfds=nobody:mnist \(Namespace nobody not found"),
        (
            {"tfds": "imdb_reviews/fancy"},
            r"\(configs: plain_text; versions: 1.0.0\)\. Received: tfds=imdb_reviews/fancy$",
        ),
        (
            {"tfds": "shakespeare_plays:9.9.9"},
            r"\(configs: none; versions: 1.0.0\)\. Received: tfds=shakespeare_plays:9.9.9$",
        ),
        (
            {"text_feature": "words"},
            r"text_feature` must name a feature of .* with texts: id, text \(of id, text\)\. Received: words$",
        ),
        ({"tfds": "imdb_reviews", "text_feature": "label"}, r"with texts: text \(of .*\)\. Received: label$"),
        (
            {"splits": {**SPLITS, "train": "tran"}},
            r"^`splits\.train` must be a split of .*\(train, validation, test\), .*: splits\.train=tran$",
        ),
        ({"splits": {**SPLITS, "train": "train["}}, r"Received: splits\.train=train\[$"),
        ({"splits": {**SPLITS, "train": "train[:0]"}}, r"Received: splits\.train=train\[:0\]$"),
    ],
)
def test_tfds_refuses(fields, message, data_dir):
    source = TextSource(**{"tfds": "shakespeare_plays", "splits": SPLITS, "data_dir": data_dir, **fields})
    with pytest.raises(UserError, match=message) as caught:
        Reader(source).identity()
    assert "\n" not in str(caught.value)


def test_a_community_whose_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = r"packages are installed\. Received: tfds=huggingface:mnist \(.*huggingface_hub"
    with pytest.raises(UserError, match=message):
        Reader(TextSource(tfds="huggingface:mnist", splits=SPLITS)).identity()


def test_data_dir_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    source = TextSource(tfds="shakespeare_plays", splits=SPLITS, data_dir=str(tmp_path / "file"))
    with pytest.raises(
        UserError, match=r"^The data set shakespeare_plays cannot be prepared in .*file/shakespeare_plays"
    ):
        Reader(source).identity()


class Elsewhere(tfds.core.GeneratorBasedBuilder):
    """Data set whose files have to be downloaded."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "http://nowhere.invalid/file"

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"text": tfds.features.Text()}))

    def _split_generators(self, manager):
        manager.download(self.URL)

    def _generate_examples(self):
        pass


def test_without_a_network_one_line_says_so(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sources, "_RETRIES", 1)
    source = TextSource(tfds="elsewhere", splits=SPLITS, data_dir=str(tmp_path))
    folder = tmp_path / "elsewhere" / "1.0.0"
    with pytest.raises(
        UserError, match=rf"^The data set elsewhere cannot be prepared in {folder}: no connection to nowher"
    ):
        Reader(source).identity()
    assert capfd.readouterr() == ("", f"Preparing data set elsewhere in {folder}\n")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"\[Errno 28\] No space left on device"),
        (ImportError("\n\nNo module named 'apache_beam'\n"), "No module named 'apache_beam'"),
        (KeyError(), "KeyError"),
    ],
)
def test_what_a_data_set_raises_is_one_line(tmp_path, monkeypatch, error, reason):
    def fail(builder, download_config):
        raise error

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    source = TextSource(tfds="shakespeare_plays", splits=SPLITS, data_dir=str(tmp_path))
    with pytest.raises(UserError, match=f"cannot be prepared in .*: {reason}$"):
        Reader(source).identity()


def test_a_long_preparation_says_how_far_it_is(tmp_path, monkeypatch, capsys):
    told = threading.Event()

    def download(builder, download_config):
        folder = tmp_path / "downloads"
        folder.mkdir()
        (folder / "file").write_bytes(bytes(3_000_000))
        assert told.wait(60)
        raise OSError("broken off")

    written, found = sources._bytes_in, [0]

    def bytes_in(folders):
        if found[-1] == 3_000_000:  # and its line has been printed
            told.set()
        found.append(written(folders))
        return found[-1]

    monkeypatch.setattr(sources, "_SECONDS_BETWEEN_LINES", 0.001)
    monkeypatch.setattr(sources, "_bytes_in", bytes_in)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    source = TextSource(tfds="shakespeare_plays", splits=SPLITS, data_dir=str(tmp_path))
    with pytest.raises(UserError, match="broken off"):
        Reader(source).identity()
    assert "Preparing data set shakespeare_plays: 3 MB so far\n" in capsys.readouterr().err


def test_the_folder_of_a_data_set_is_one_too(toy_data_set):
    folder = f"{toy_data_set()}/ikelos_toy/1.2.0"
    found = read(TextSource(tfds=folder, splits=SPLITS), "test")
    assert found == read(TextSource(tfds="ikelos_toy", splits=SPLITS, data_dir=toy_data_set()), "test")


def test_two_processes_may_prepare_a_data_set_at_once(tmp_path, monkeypatch):
    source = TextSource(tfds="shakespeare_plays", splits=SPLITS, data_dir=str(tmp_path))
    prepare = tfds.core.DatasetBuilder.download_and_prepare

    def prepare_second(builder, download_config):
        """Puts the other process's files in place while these are being written."""
        prepare(tfds.builder("shakespeare_plays", data_dir=str(tmp_path)))
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", prepare_second)
    assert [len(read(source, split)) for split in SPLITS] == [34, 1, 3]


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


def test_an_empty_document_has_no_pieces(folder):
    (folder / "a.txt").write_text("")
    hold_out(folder)
    (document,) = Reader(files(["a.txt"], "validation.txt", "test.txt")).documents("train")
    assert documents.fault(document) is None
    assert list(documents.pieces(document)) == []


def test_records(folder):
    write_records(folder / "a.tfrecord", [{"text": [b"one"], "more": [b"x"]}, {"text": [b""]}, {"text": [b"two"]}])
    write_records(folder / "b.tfrecord.gz", [{"text": ["zwölf".encode()]}], "GZIP")
    assert of_files(folder, "*.tfrecord*") == [
        ("a.tfrecord:0", "one"),
        ("a.tfrecord:1", ""),
        ("a.tfrecord:2", "two"),
        ("b.tfrecord.gz:0", "zwölf"),
    ]


def test_reading_goes_on_behind_any_document(folder):
    (folder / "a.txt").write_text("a")
    (folder / "d.txt").write_text("d")
    write_records(folder / "b.tfrecord", [{"text": [b"one"]}, {"text": [b"two"]}])
    write_records(folder / "c.tfrecord", [{"text": [b"three"]}])
    patterns = ("a.txt", "b.tfrecord", "c.tfrecord", "d.txt")
    whole = of_files(folder, *patterns)
    assert [name for name, _ in whole] == ["a.txt", "b.tfrecord:0", "b.tfrecord:1", "c.tfrecord:0", "d.txt"]
    for start in range(6):
        assert of_files(folder, *patterns, start=start) == whole[start:]


def test_the_size_is_that_of_the_files(folder):
    hold_out(folder)
    (folder / "a.txt").write_text("é")
    assert Reader(files(["test.txt"], "validation.txt", "a.txt")).size("test") == Size(2, "bytes")


def test_files_of_another_size_or_time_are_other_data(folder):
    hold_out(folder)
    path = folder / "a.txt"
    path.write_text("one")
    source = files(["a.txt"], "validation.txt", "test.txt")
    identity = Reader(source).identity()
    assert Reader(source.model_copy(update={"allowed_faults": 0.5})).identity() == identity
    os.utime(path, ns=(1, 1))
    older = Reader(source).identity()
    path.write_text("three")
    os.utime(path, ns=(1, 1))
    assert identity != older != Reader(source).identity() != identity


def test_patterns_are_of_each_split(folder):
    for name in "abc":
        (folder / f"{name}.txt").write_text(name)
    source = files(["a.txt"], "b.txt", "c.txt")
    assert [read(source, split)[0][1] for split in SPLITS] == ["a", "b", "c"]


# A single file, which is divided


def divided(folder, content, **shares):
    """Returns the texts of the three splits of a file."""
    (folder / "all.txt").write_bytes(content)
    source = TextSource(files="all.txt", splits={"validation": 0.1, "test": 0.2} | shares)
    found = Reader(source)
    parts = {}
    for split in SPLITS:
        (document,) = found.documents(split)
        assert (document.name, list(found.documents(split, 1))) == ("all.txt", [])
        assert documents.fault(document) is None
        parts[split] = "".join(piece.text for piece in documents.pieces(document))
        assert found.size(split) == Size(document.size, "bytes")
    return parts


@pytest.mark.parametrize("piece", [7, 1000])
def test_one_file_is_divided_at_lines_near_the_shares(folder, monkeypatch, piece):
    monkeypatch.setattr(documents, "PIECE_BYTES", piece)
    content = "".join(f"line é {number}\n" for number in range(100))
    parts = divided(folder, content.encode())
    assert "".join(parts.values()) == content
    for split, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert parts[split].startswith("line")
        assert len(parts[split]) == pytest.approx(share * len(content), abs=len("line é 10\n"))
    # A line that ends at the end of a share is the last line of this share.
    assert divided(folder, b"ab\n" * 10) == {"train": "ab\n" * 7, "validation": "ab\n", "test": "ab\n" * 2}


def test_the_place_of_a_fault_in_a_part_is_that_in_the_file(folder):
    content = b"line\n" * 90 + b"line \xff\n" + b"line\n" * 9
    (folder / "all.txt").write_bytes(content)
    source = TextSource(files="all.txt", splits={"validation": 0.1, "test": 0.2})
    (document,) = Reader(source).documents("test")
    assert documents.fault(document)[1].startswith(f"is not valid UTF-8 at byte {content.index(255)}:")


@pytest.mark.parametrize("content", [b"", b"one line", b"one line\n", b"two\nlines", b"x" * 100 + b"\na\n"])
def test_one_file_without_lines_for_each_split_is_refused(folder, content):
    with pytest.raises(UserError, match=r"^all.txt must have lines for each split.*Received: \d+ bytes, splits="):
        divided(folder, content)


def test_several_files_are_shared_out(folder):
    for number in range(50):
        (folder / f"{number}.TXT").write_text(str(number))
    source = TextSource(files="*", splits={"validation": 0.2, "test": 0.2})
    found = {split: [text for _, text in read(source, split)] for split in SPLITS}
    assert sorted((text for texts in found.values() for text in texts), key=int) == [
        str(number) for number in range(50)
    ]


# Faults and pieces


def fault(path):
    hold_out(path.parent)
    (document,) = Reader(files([path.name], "validation.txt", "test.txt")).documents("train")
    return documents.fault(document)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"good \xff bad", 5),
        (b"\xff", 0),
        (b"abc\xc3", 3),  # the last character is incomplete
        (b"abc\xc3\xa9\xe2\x82", 5),
        (b"ab\xe2\x82\xffc", 2),  # across the boundary of two pieces
        (b"abc\xc3\xffd", 3),
        (b"abcd\xed\xa0\x80", 4),  # a surrogate
    ],
)
def test_text_that_is_not_utf8_is_a_fault_at_its_byte(folder, monkeypatch, content, place):
    monkeypatch.setattr(documents, "PIECE_BYTES", 4)
    (folder / "a.txt").write_bytes(content)
    with gzip.open(folder / "b.txt.gz", "wb") as file:
        file.write(content)
    with pytest.raises(UnicodeDecodeError) as expected:
        content.decode()
    assert expected.value.start == place
    for name in ("a.txt", "b.txt.gz"):
        kind, why = fault(folder / name)
        assert (kind, why.partition(":")[0]) == ("not UTF-8", f"is not valid UTF-8 at byte {place}")


@pytest.mark.parametrize(
    ("encoding", "why"),
    [
        ("latin1", r"is not valid UTF-8 at byte 2: .*If it is latin1, .*: iconv -f latin1 -t utf-8"),
        ("utf-16", r"is not valid UTF-8 at byte 0: .*If it is utf-16, .*: iconv -f utf-16 -t utf-8"),
        ("utf-16-le", r"is not text: byte 1 is zero. If it is utf-16le, .*: iconv -f utf-16le -t utf-8"),
    ],
)
def test_another_encoding_is_told_with_the_command_that_mends_it(folder, encoding, why):
    hold_out(folder)
    path = folder / "my text.txt"
    path.write_bytes("zwölf Boxkämpfer".encode(encoding))
    (document,) = Reader(files([path.name], "validation.txt", "test.txt")).documents("train")
    kind, told = documents.fault(document)
    assert kind == "not UTF-8"
    assert re.match(why + " 'my text.txt' > '.my text.txt' && mv '.my text.txt' 'my text.txt'$", told)
    if shutil.which("iconv"):
        subprocess.run(told.partition(": iconv")[2].join(["iconv", ""]), shell=True, check=True)
        assert sorted(os.listdir(folder)) == ["my text.txt", "test.txt", "validation.txt"]
        assert documents.fault(document) is None
        assert "Boxkämpfer" in next(documents.pieces(document)).text


@pytest.mark.parametrize("size", [5, 7, 100])
@pytest.mark.parametrize("text", ["", "ab\ncd\nef\ngh", "a\ufeffb", "\ufeff", "ab\n\ufeffcd\n"])
def test_a_byte_order_mark_is_no_text(monkeypatch, text, size):
    monkeypatch.setattr(documents, "PIECE_BYTES", size)
    content = text.encode("utf-8-sig")
    document = Document("a", lambda: io.BytesIO(content), len(content))
    assert documents.fault(document) is None
    whole = list(documents.pieces(document))
    assert "".join(piece.text for piece in whole) == text
    for place, piece in enumerate(whole):
        assert list(documents.pieces(document, piece.end)) == whole[place + 1 :]


def test_characters_across_the_borders_of_pieces_are_no_fault(folder, monkeypatch):
    monkeypatch.setattr(documents, "PIECE_BYTES", 5)
    (folder / "a.txt").write_text("é€🎲" * 9)
    assert fault(folder / "a.txt") is None


def test_files_that_cannot_be_unpacked_are_faults(folder):
    whole = gzip.compress(b"text" * 100)
    (folder / "cut.txt.gz").write_bytes(whole[:-10])
    (folder / "plain.txt.gz").write_bytes(b"not compressed")
    (folder / "odd.txt.gz").write_bytes(whole[:10] + b"\xff" * 9 + whole[19:])
    for name, why in (("cut", "ended before"), ("plain", "Not a gzipped file"), ("odd", "while decompressing|CRC")):
        kind, found = fault(folder / f"{name}.txt.gz")
        assert kind == "broken"
        assert re.search(f"^cannot be unpacked: .*({why})", found)


@pytest.mark.parametrize("name", ["gone.txt", "gone.txt.gz"])
def test_a_file_that_cannot_be_read_now_is_an_error_and_no_fault(folder, name):
    hold_out(folder)
    (folder / name).write_bytes(b"")
    (document,) = Reader(files([name], "validation.txt", "test.txt")).documents("train")
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"^cannot read {name}: No such file or directory$"):
        documents.fault(document)


TEXTS = [
    "",
    "a",
    "ab\ncd\n",
    "short\nlines\nand one that is longer\n",
    "\n" * 20,
    "no line at all",
    "é€🎲" * 5,
    "x\ny" * 9,
]


@pytest.mark.parametrize("size", [5, 7, 16, 100])
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_text_and_go_on_behind_any_of_them(monkeypatch, text, size):
    monkeypatch.setattr(documents, "PIECE_BYTES", size)
    content = text.encode()
    document = Document("a", lambda: io.BytesIO(content), len(content))
    whole = list(documents.pieces(document))
    assert "".join(piece.text for piece in whole) == text
    assert [piece.last for piece in whole] == [False] * (len(whole) - 1) + [True] * bool(text)
    assert all(0 < len(piece.text.encode()) <= size for piece in whole)
    for place, piece in enumerate(whole):
        assert len("".join(before.text for before in whole[: place + 1]).encode()) == piece.end
        assert list(documents.pieces(document, piece.end)) == whole[place + 1 :]
        # A piece ends with a line, unless no line ends in it.
        assert piece.last or piece.text.endswith("\n") or "\n" not in piece.text


@pytest.mark.parametrize("values", [[], [b"a", b"b"]])
def test_record_without_one_text(folder, values):
    write_records(folder / "a.tfrecord", [{"text": values, "label": [b"x"]}])
    message = rf"a.tfrecord: example 0 .*'text'\. Received: {len(values)} bytes values there, .* label, text"
    with pytest.raises(UserError, match=message):
        of_files(folder, "a.tfrecord")


def test_broken_records_end_the_reading(folder):
    (folder / "plain.tfrecord").write_bytes(b"not a record, not at all")
    (folder / "plain.tfrecord.gz").write_bytes(b"not a record, not at all")
    write_records(folder / "cut.tfrecord", [{"text": [b"one"]}])
    (folder / "cut.tfrecord").write_bytes((folder / "cut.tfrecord").read_bytes()[:-3])
    with tf.io.TFRecordWriter("other.tfrecord") as writer:
        writer.write(b"\xff\xff\xff")
    for name in ("plain.tfrecord", "plain.tfrecord.gz", "cut.tfrecord", "other.tfrecord"):
        with pytest.raises(UserError, match=rf"{name} must be a TFRecord of tf.train.Example\. Received: "):
            of_files(folder, name)
