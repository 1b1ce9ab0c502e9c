import gzip
import shutil

import numpy as np
import pytest

from ikelos.pipelines.data import writing
from ikelos.pipelines.data.description import left_out
from ikelos.pipelines.data.preparation import prepare
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text import documents
from ikelos.pipelines.text.config import TextSource, Vocabulary
from ikelos.pipelines.text.encoding import TextPreparation, TextPreprocessing, beginning, thinned
from ikelos.pipelines.text.vocabulary.character import CharacterVocabulary
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD, SPECIAL, UNKNOWN

CHARACTERS = Vocabulary(kind="character", size=None)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Writes training files, texts or bytes by name, and held-out files; returns the source of all."""
    monkeypatch.chdir(tmp_path)

    def write(train, test=None, **changes):
        for split, files in (("train", train), ("validation", {"a.txt": "b"}), ("test", test or {"a.txt": "c\u00e9"})):
            (tmp_path / split).mkdir(exist_ok=True)
            for name, text in files.items():
                content = text if isinstance(text, bytes) else text.encode()
                (tmp_path / split / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return TextSource(files={split: (f"{split}/*",) for split in ("train", "validation", "test")}, **changes)

    return write


def test_the_vocabulary_knows_training_text_alone(source):
    found = prepare(TextPreparation(source({"a.txt": "abc", "b.txt": "b"}), CHARACTERS))
    train, test = found.splits["train"], found.splits["test"]
    assert [list(tokens) for tokens in train.ragged("tokens")] == [
        [SPECIAL, SPECIAL + 1, SPECIAL + 2, END],
        [SPECIAL + 1, END],
    ]
    assert list(test.ragged("tokens")[0]) == [SPECIAL + 2, UNKNOWN, END]
    assert train.array("characters").tolist() == [3, 1]
    assert list(test.ids) == ["test/a.txt"]
    assert found.learned.vocabulary.characters == "abc"


def test_a_batch_of_texts_is_what_a_model_takes():
    preprocessing = TextPreprocessing(CharacterVocabulary("abc"), "")
    tokens = preprocessing.token_batch(["ba", "", "cab"])
    assert tokens.dtype == "int32"
    assert tokens.numpy().tolist() == [
        [BEGIN, SPECIAL + 1, SPECIAL, PAD],
        [BEGIN, PAD, PAD, PAD],
        [BEGIN, SPECIAL + 2, SPECIAL, SPECIAL + 1],
    ]
    assert preprocessing.token_batch([]).shape == (0, 1)


def test_empty_documents_are_left_out_and_are_no_fault(source):
    found = prepare(TextPreparation(source({"a.txt": "", "b.txt": "\n", "c.txt": "", "d.txt.gz": ""}), CHARACTERS))
    assert list(found.splits["train"].ids) == ["train/b.txt"]
    assert (found.splits["train"].skipped, found.splits["train"].empty) == ({}, 3)
    assert left_out(found.splits["train"].facts()) == "3 empty"
    with pytest.raises(UserError, match="The split 'test' of texts has no examples"):
        prepare(TextPreparation(source({"b.txt": "b"}, {"a.txt": ""}), CHARACTERS))


def test_large_vocabularies_have_larger_numbers(source, monkeypatch):
    preparation = TextPreparation(source({"a.txt": "abc"}), CHARACTERS)
    learned = preparation.learn(lambda _: None)
    assert preparation.columns(learned)["tokens"].dtype == "uint16"
    monkeypatch.setattr(learned.vocabulary, "size", (1 << 16) + 1)
    assert preparation.columns(learned)["tokens"].dtype == "uint32"


LONG = "".join(f"{'word ' * (index % 7)}and a line {index}\n" for index in range(40))
TEXTS = {
    "a.txt": "a short one",
    "b.txt": b"\xff",
    "c.txt": LONG,
    "d.txt": "",
    "e.txt.gz": LONG[::-1] + "without an end",
    "f.txt": "x" * 700,  # without a line end
    "g.txt": "the last",
}
KINDS = [CHARACTERS, Vocabulary(kind="byte", size=None), Vocabulary(kind="bpe", size=290)]


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings.kind)
def test_documents_in_pieces_have_the_tokens_of_the_whole(source, monkeypatch, settings):
    monkeypatch.setattr(documents, "PIECE_BYTES", 100)
    found = prepare(TextPreparation(source(TEXTS, allowed_faults=0.5), settings))
    train = found.splits["train"]
    texts = {name: text for name, text in TEXTS.items() if name not in ("b.txt", "d.txt")}
    assert list(train.ids) == [f"train/{name}" for name in texts]
    assert train.array("characters").tolist() == [len(text) for text in texts.values()]
    assert (train.skipped, train.empty) == ({"not UTF-8": 1}, 1)
    for name, text, tokens in zip(texts, texts.values(), train.ragged("tokens"), strict=True):
        if settings.kind != "bpe" or name != "f.txt":  # pieces of a line may have other subwords
            np.testing.assert_array_equal(tokens, [*found.learned.vocabulary.tokens(text), END])


class KilledError(Exception):
    pass


class Encoder:
    """Replacement of a vocabulary's `tokens` that records the length of each text, and may die at one."""

    def __init__(self):
        self.characters = []
        self.dies_at = None
        self._tokens = CharacterVocabulary.tokens

    def tokens(self, learned, text):
        self.characters.append(len(text))
        if len(self.characters) == self.dies_at:
            raise KilledError
        return self._tokens(learned, text)

    def begin(self, dies_at=None):
        self.characters, self.dies_at = [], dies_at


@pytest.fixture
def encoder(monkeypatch):
    encoder = Encoder()
    monkeypatch.setattr(CharacterVocabulary, "tokens", lambda self, text: encoder.tokens(self, text))
    return encoder


def content(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_one_that_was_killed_amid_a_long_document_goes_on_there(source, tmp_path, monkeypatch, encoder):
    monkeypatch.setattr(documents, "PIECE_BYTES", 100)
    monkeypatch.setattr(writing, "PART_BYTES", 300)
    files = source(TEXTS, allowed_faults=0.5)
    whole = prepare(TextPreparation(files, CHARACTERS))
    calls, characters = len(encoder.characters), sum(encoder.characters)
    assert calls > 20
    for dies_at in range(1, calls + 1, 3):
        monkeypatch.setenv("IKELOS_CACHE", str(tmp_path / f"cache {dies_at}"))
        encoder.begin(dies_at)
        with pytest.raises(KilledError):
            prepare(TextPreparation(files, CHARACTERS))
        before = sum(encoder.characters)
        encoder.begin()
        again = prepare(TextPreparation(files, CHARACTERS))
        assert content(again.folder) == content(whole.folder)
        assert again.splits["train"].sha256() == whole.splits["train"].sha256()
        # At most the work of one part, and of the current piece, is done twice.
        assert characters <= before + sum(encoder.characters) < characters + 500


def test_another_vocabulary_or_file_is_other_data_and_a_share_of_faults_is_not(source):
    files = source({"a.txt": "abc"})
    preparations = {
        "this": TextPreparation(files, CHARACTERS),
        "vocabulary": TextPreparation(files, Vocabulary(kind="character", size=5)),
        "faults": TextPreparation(files.model_copy(update={"allowed_faults": 0.5}), CHARACTERS),
    }
    folders = {name: prepare(preparation).folder for name, preparation in preparations.items()}
    assert folders["this"] == folders["faults"] != folders["vocabulary"]
    assert prepare(TextPreparation(source({"a.txt": "abcd"}), CHARACTERS)).folder not in folders.values()


def test_the_example_is_the_first_words_of_the_validation_text(source, tmp_path):
    assert prepare(TextPreparation(source({"a.txt": "b"}), CHARACTERS)).learned.example == "b"
    texts = {"a.txt": "", "b.txt": "\n \n", "c.txt": "\nIt was a bright cold day in April, and the clocks struck."}
    changed = source({"a.txt": "b"})
    for name, text in texts.items():
        (tmp_path / "validation" / name).write_text(text)
    learned = prepare(TextPreparation(changed, CHARACTERS)).learned
    assert learned.example == "It was a bright cold day in April, and "
    again = TextPreparation(changed, CHARACTERS).load(_saved(learned, tmp_path))
    assert again.example == learned.example


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n", ""),
        (" two words\n", "two words\n"),
        ("x" * 50, "x" * 40),
        ("あ" * 38 + " いう", "あ" * 38 + " "),
        ("one " * 11, "one " * 9),
    ],
)
def test_a_beginning_ends_with_a_whole_word(text, expected):
    assert beginning(text) == expected


def _saved(learned, folder):
    (folder / "saved").mkdir()
    learned.save(folder / "saved")
    return folder / "saved"


def test_a_reused_vocabulary_is_not_fitted(source, tmp_path):
    first = prepare(TextPreparation(source({"a.txt": "xyz"}), CHARACTERS)).learned
    folder = _saved(first, tmp_path)
    own = TextPreparation(source({"a.txt": "abcx"}), CHARACTERS)
    reused = own.reusing(folder)
    assert reused.identity() != own.identity()
    found = prepare(reused)
    assert found.learned.vocabulary.characters == "xyz"
    assert list(found.splits["train"].ragged("tokens")[0]) == [UNKNOWN, UNKNOWN, UNKNOWN, SPECIAL, END]
    assert found.learned.example == "b"
    # The same vocabulary in another folder gives the same data.
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    assert own.reusing(elsewhere).identity() == reused.identity()


@pytest.mark.parametrize(
    ("settings", "received"),
    [({"kind": "byte", "size": None}, "kind=byte, size=null"), ({"kind": "character", "size": 6}, "size=6")],
)
def test_settings_of_another_vocabulary_than_the_reused_one_are_refused(source, tmp_path, settings, received):
    folder = _saved(prepare(TextPreparation(source({"a.txt": "xyz"}), CHARACTERS)).learned, tmp_path)
    asked = TextPreparation(source({"a.txt": "abc"}), Vocabulary(**settings))
    with pytest.raises(UserError, match=rf"`data.vocabulary` .* kind=character, size=7\. Received: .*{received}$"):
        asked.reusing(folder)


def test_the_same_paths_in_two_working_directories_are_other_data(source, tmp_path, monkeypatch):
    first = source({"a.txt": "abc"})
    found = [prepare(TextPreparation(first, CHARACTERS))]
    shutil.copytree(tmp_path, tmp_path / "copy")  # with the same sizes and times
    monkeypatch.chdir(tmp_path / "copy")
    found.append(prepare(TextPreparation(first, CHARACTERS)))
    assert found[0].folder != found[1].folder
    assert found[0].splits["train"].sha256() == found[1].splits["train"].sha256()
    assert list(found[0].splits["train"].ids) == list(found[1].splits["train"].ids) == ["train/a.txt"]


def test_a_file_that_changes_while_it_is_prepared_is_refused(source, monkeypatch):
    files = source({"a.txt": "abc"})
    tokens = CharacterVocabulary.tokens

    def change(learned, text):
        with open("train/a.txt", "a") as file:
            file.write("d")
        return tokens(learned, text)

    with monkeypatch.context() as patch:
        patch.setattr(CharacterVocabulary, "tokens", change)
        with pytest.raises(UserError, match="The data of texts changed while it was prepared"):
            prepare(TextPreparation(files, CHARACTERS))
    assert prepare(TextPreparation(files, CHARACTERS)).splits["train"].array("characters")[0] > 3


def test_what_is_learned_from_is_told(source):
    preparation, read = TextPreparation(source({"a.txt": "abc", "b.txt": "", "c.txt": b"\xff"}), CHARACTERS), []
    preparation.learn(read.append)
    assert sum(read) == preparation.size("train").number == 4


def test_what_is_prepared_already_is_not_read(source, monkeypatch):
    files = source({"a.txt": "abc"})
    made = prepare(TextPreparation(files, CHARACTERS))
    monkeypatch.setattr(documents.Reader, "documents", None)
    assert prepare(TextPreparation(files, CHARACTERS)).folder == made.folder


def test_faults_are_named(source):
    faulty = {"a.txt": "fine", "b.txt": b"good \xff bad", "c.txt.gz": "x", "d.txt": b"cut \xc3"}
    files = source(faulty)
    with open("train/c.txt.gz", "wb") as file:
        file.write(b"no gzip")
    with pytest.raises(UserError) as caught:
        prepare(TextPreparation(files, CHARACTERS))
    assert str(caught.value).splitlines() == [
        "train/b.txt is not valid UTF-8 at byte 5: invalid start byte. "
        "If it is latin1, this command converts it: "
        "iconv -f latin1 -t utf-8 train/b.txt > train/.b.txt && mv train/.b.txt train/b.txt",
        "train/c.txt.gz cannot be unpacked: Not a gzipped file (b'no')",
        "train/d.txt is not valid UTF-8 at byte 4: unexpected end of data. "
        "If it is latin1, this command converts it: "
        "iconv -f latin1 -t utf-8 train/d.txt > train/.d.txt && mv train/.d.txt train/d.txt",
        "3 of 4 examples of the split 'train' are faulty (2 not UTF-8, 1 broken), more than the share "
        "data.source.allowed_faults=0. Fix them, or leave them out: --set data.source.allowed_faults=0.75",
    ]


def test_both_formats_of_data_sets_give_the_same_store(toy_data_set):
    found = []
    for file_format in ("tfrecord", "array_record"):
        splits = {"train": "train", "validation": "validation", "test": "test"}
        files = TextSource(tfds="ikelos_toy", splits=splits, data_dir=toy_data_set(file_format))
        found.append(prepare(TextPreparation(files, CHARACTERS)))
    assert found[0].folder != found[1].folder
    assert found[0].folder.name.startswith("ikelos_toy-")
    for split, store in found[0].splits.items():
        assert sorted(store.array("characters")) == sorted(found[1].splits[split].array("characters"))
        assert store.sha256() == found[1].splits[split].sha256()


def test_the_first_texts_are_shown(source):
    preparation = TextPreparation(source({f"{name}.txt": name * 300 for name in "abcd"}), CHARACTERS)
    found = prepare(preparation)
    assert preparation.show(found.learned, found.splits["train"]) == ["a" * 200, "b" * 200, "c" * 200]
    assert preparation.show(found.learned, found.splits["test"]) == ["c"]


# thinned


def lines(number):
    return [f"line {index} {'x' * (index % 5)}" for index in range(number)]


def test_what_is_small_is_kept_whole():
    texts = ["a\nbb\n", "", "\n\na\n"]
    assert thinned(texts, 100) == ["a", "bb", "a"]


def test_of_much_some_lines_are_kept_the_same_each_time():
    texts = ["\n".join(lines(1000)[start : start + 100]) for start in range(0, 1000, 100)]
    kept = thinned(texts, 3000)
    assert 1000 < sum(map(len, kept)) <= 3000
    assert kept == [line for line in lines(1000) if line in set(kept)]
    assert kept == thinned(["\n".join(lines(1000))], 3000)
    places = [int(line.split()[1]) for line in kept]
    assert min(places) < 100 < 900 < max(places)
