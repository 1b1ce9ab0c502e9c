import gzip
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ikelos.pipelines.audio.config import AudioSource
from ikelos.pipelines.audio.pcm import wav_file
from ikelos.pipelines.audio.speech_encoding import SpeechPreparation
from ikelos.pipelines.data import records
from ikelos.pipelines.data.arrays import Arrays
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.data.preparation import prepare
from ikelos.pipelines.data.records import Record, Records
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.config import ImageSource
from ikelos.pipelines.image.preprocessing import ImagePreparation
from ikelos.pipelines.text.config import PairSource, TextSource, TurnSource, Vocabulary
from ikelos.pipelines.text.encoding import TextPreparation
from ikelos.pipelines.text.pair_encoding import PairPreparation
from ikelos.pipelines.text.turn_encoding import TurnPreparation

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


def pairs(root):
    for split in SPLITS:
        (root / split).mkdir()
        for name in ("a.tsv", "b.tsv"):
            lines = [f"{name} {number}\t{number}".encode() for number in range(3)]
            (root / split / name).write_bytes(b"\n".join([*lines, b"no pair", b"\t", b"\xff\tx"]))
    return PairPreparation(PairSource(files=PATTERNS, allowed_faults=0.5), Vocabulary(kind="character", size=None))


def one_table(root):
    (root / "all.tsv").write_text("".join(f"source {number}\ttarget {number}\n" for number in range(99)))
    source = PairSource(files="all.tsv", splits={"validation": 0.1, "test": 0.1})
    return PairPreparation(source, Vocabulary(kind="character", size=None))


def conversations(root):
    for split in SPLITS:
        (root / split).mkdir()
        for name in ("a.jsonl", "b.jsonl"):
            lines = [f'{{"turns": ["{name} {number}", "\u00fc"]}}'.encode() for number in range(3)]
            (root / split / name).write_bytes(b"\n".join([*lines, b"no JSON", b'{"turns": []}', b'["\xff"]']))
    return TurnPreparation(TurnSource(files=PATTERNS, allowed_faults=0.5), Vocabulary(kind="character", size=None))


def recordings(root):
    sound = wav_file(np.arange(99, dtype=np.int16), 8000)
    for split in SPLITS:
        (root / split).mkdir()
        (root / split / "a.wav").write_bytes(sound)
        lines = ["a.wav\tone", "a.wav\t", "b.wav\ttwo", "a.wav", f"a.wav\t{split}"]
        (root / split / "all.tsv").write_text("\n".join(lines))
    files = {split: (f"{split}/*.tsv",) for split in SPLITS}
    source = AudioSource(files=files, allowed_faults=0.6)
    return SpeechPreparation(source, Vocabulary(kind="character", size=None), 4000, 1.0)


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


def write(folder, chunks, about):
    """Writes lists of chunks by split into a folder, as a pipeline does; returns the records."""
    for split in chunks:
        (folder / f"Split-{split}").mkdir(parents=True)
    facts = {
        split: [records.write(records.path_of(folder, split, number), one) for number, one in enumerate(some)]
        for split, some in chunks.items()
    }
    (folder / records.ABOUT).write_text(records.summary(facts, about))
    return Records(folder)


def written(preparation, folder):
    chunks = {split: [preparation.records(split, chunk) for chunk in preparation.chunks(split)] for split in SPLITS}
    return write(folder, chunks, preparation.about())


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "make", [texts, one_text, pairs, one_table, conversations, recordings, images, letters, arrays]
)
@pytest.mark.parametrize("most", [2, records.CHUNK_EXAMPLES])
def test_records_give_the_stores_of_their_source(make, most, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "CHUNK_EXAMPLES", most)
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


def test_records_come_back_from_any_place_and_chunk(tmp_path):
    some = [Record(f"n\udcff{number}", {"text": bytes(number), "label": -number, "name": "ä"}) for number in range(9)]
    kept = write(tmp_path, {split: [some[:4], [], some[4:]] for split in SPLITS}, {"of": "all"})
    assert kept.about == {"of": "all"}
    assert kept.size("train") == sum(range(9))
    expected = [Record(one.name, {**one.features, "name": "ä".encode()}) for one in some]
    for start in range(10):
        assert list(kept.read("train", start)) == expected[start:]
    found = [list(kept.only("test", number).read("test")) for number in kept.chunks("test")]
    assert found == [expected[:4], [], expected[4:]]
    assert list(kept.only("test", 0).read("train")) == []
    assert list(kept.only("test", 2).read("test", 3)) == expected[7:]
    ours = [{"id": one.name, "bytes": one.size} for one in some]
    assert list(kept.features("test")) == [mine | one.features for mine, one in zip(ours, expected, strict=True)]


def test_statistics_see_the_features(tmp_path):
    write(tmp_path, {"train": [[Record("a", {"text": b"abc"})]]}, {})
    (path,) = (tmp_path / "Split-train").iterdir()
    (content,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    example = tf.train.Example.FromString(content).features.feature
    assert {name: list(value.int64_list.value or value.bytes_list.value) for name, value in example.items()} == {
        "id": [b"a"], "bytes": [3], "text": [b"abc"]
    }  # fmt: skip


def test_missing_shuffled_and_cut_examples_are_refused(tmp_path):
    kept = write(tmp_path, {"train": [[Record(name, {"text": b"abc"})] for name in "abc"]}, {})
    paths = sorted((tmp_path / "Split-train").iterdir())
    contents = [path.read_bytes() for path in paths]
    refused = r"examples-00001 must have the examples that were read, with the checksum \w+\. Received: "
    for changed, found in (
        ([0, 2, 1], "the checksum [0-9a-f]{64}"),
        ([0, None, 2], "no such file"),
        ([0, contents[1][:-1], 2], "a broken file"),
    ):
        for path, change in zip(paths, changed, strict=True):
            if change is None:
                path.unlink()
            else:
                path.write_bytes(contents[change] if isinstance(change, int) else change)
        with pytest.raises(UserError, match=refused + found):
            list(kept.read("train"))


def test_what_cannot_be_an_example_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LARGEST", 2)
    with pytest.raises(UserError, match=r"a\.txt must have at most 2 bytes .* Received: 3 bytes"):
        records.write(tmp_path / "file", [Record("a.txt", {"text": b"abc"})])
    with pytest.raises(UserError, match="'test' must have examples"):
        write(tmp_path, {"test": [[]]}, {})


def test_names_of_features_that_are_taken_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`features` must have other names than id, bytes\. Received: bytes"):
        records.write(tmp_path / "file", [Record("a", {"bytes": 3})])


def test_files_and_examples_are_divided_by_number_and_size(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "CHUNK_BYTES", 10)
    monkeypatch.setattr(records, "CHUNK_EXAMPLES", 3)
    sizes = [4, 4, 4, 1, 1, 1, 1, 30, 9, 1]
    paths = [str(tmp_path / str(number)) for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        (tmp_path / path).write_bytes(bytes(size))
    found = [[sizes[paths.index(path)] for path in chunk] for chunk in records.groups(paths)]
    assert found == [[4, 4, 4], [1, 1, 1], [1, 30], [9, 1]]
    assert records.groups([]) == records.ranges(0, 0) == []
    assert records.ranges(7, 7) == [[0, 3], [3, 6], [6, 7]]
    assert records.ranges(4, 20) == [[0, 2], [2, 4]]
    assert records.ranges(2, 10**9) == [[0, 1], [1, 2]]
