import json

import numpy as np
import pytest

from ikelos.pipelines.data import writing as module
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.data.writing import writing

COLUMNS = {"x": Column("uint8", (3,)), "words": Column("uint16", ragged=True)}
EXAMPLES = 12


class KilledError(Exception):
    pass


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Makes parts of about three examples."""
    monkeypatch.setattr(module, "PART_BYTES", 90)


def write(folder, killed_at=EXAMPLES):
    """Writes examples, some of them faulty, from the folder's cursor on; returns the index of the first.

    Raises KilledError within the example `killed_at`.
    """
    told = []
    with writing(folder, COLUMNS, told.append) as writer:
        start = writer.cursor or 0
        for index in range(start, EXAMPLES):
            if index % 5 == 4:
                writer.skip(f"example {index}", "odd", "is odd")
                writer.skip_empty()
            else:
                writer.extend("words", np.arange(index))
                if index == killed_at:
                    raise KilledError
                writer.end(f"example {index}", x=[index] * 3, words=[index])
            if index == killed_at:
                raise KilledError
            writer.read(index + 1, 10)
        writer.finish()
    assert sum(told) == 10 * EXAMPLES
    return start


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART_BYTES", 90)
        write(folder)
    return folder


def test_what_was_written(whole):
    store = Store.open(whole)
    places = [index for index in range(EXAMPLES) if index % 5 != 4]
    assert list(store.ids) == [f"example {index}" for index in places]
    np.testing.assert_array_equal(store.array("x"), [[index] * 3 for index in places])
    for words, index in zip(store.ragged("words"), places, strict=True):
        np.testing.assert_array_equal(words, [*range(index), index])
    assert (store.skipped, store.faults) == ({"odd": 2}, ["example 4 is odd", "example 9 is odd"])
    assert store.empty == 2
    assert len(store.parts) > 2
    assert not (whole / "journal.jsonl").exists()


@pytest.mark.parametrize("killed_at", range(EXAMPLES))
def test_one_that_was_killed_goes_on_and_ends_the_same(tmp_path, whole, killed_at):
    with pytest.raises(KilledError):
        write(tmp_path, killed_at)
    start = write(tmp_path)
    assert killed_at - 4 < start <= killed_at
    assert content(tmp_path) == content(whole)


def test_one_that_is_killed_again_and_again_ends_the_same(tmp_path, whole):
    for killed_at in range(EXAMPLES):
        with pytest.raises(KilledError):
            write(tmp_path, killed_at)
    write(tmp_path)
    assert content(tmp_path) == content(whole)


def test_a_line_of_the_journal_that_was_cut_short_is_no_part(tmp_path, whole):
    with pytest.raises(KilledError):
        write(tmp_path, 11)
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    for torn in (lines[-1][:-9], lines[-1][:1], b"\0" * 50, b"\xff"):
        journal.write_bytes(b"".join(lines[:-1]) + torn)
        with pytest.raises(KilledError):
            write(tmp_path, json.loads(lines[-1])["cursor"] - 1)
        assert journal.read_bytes().splitlines(keepends=True) == lines[:-1]
    assert write(tmp_path) == json.loads(lines[-2])["cursor"]
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize("name", ["id.bin", "id.ends.bin", "x.bin", "words.bin", "words.ends.bin"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_part_whose_bytes_changed_is_written_again(tmp_path, whole, name, damage):
    with pytest.raises(KilledError):
        write(tmp_path, 11)
    parts = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert len(parts) > 2
    path, begin = tmp_path / name, parts[0]["ends"][name]
    damaged = bytearray(path.read_bytes())
    damaged[begin] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(damaged if damage == "changed" else damaged[:begin])
    assert write(tmp_path) == (0 if damage == "gone" else parts[0]["cursor"])
    assert content(tmp_path) == content(whole)


def test_one_that_was_killed_behind_its_last_example_ends_the_same(tmp_path, whole, monkeypatch):
    original = module.files.write

    def write_all_but_the_manifest(path, text):
        if path.name == "manifest.json":
            raise KilledError
        original(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(module.files, "write", write_all_but_the_manifest)
        with pytest.raises(KilledError):
            write(tmp_path)
    assert write(tmp_path) == EXAMPLES
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", [1, 2, 256]), ("x", [1, 2, -1]), ("x", [0.5, 0, 0]), ("words", [65536]), ("words", [-1])],
)
def test_values_that_do_not_fit_their_type_are_refused(tmp_path, name, value):
    with (
        writing(tmp_path, COLUMNS, lambda _: None) as writer,
        pytest.raises(ValueError, match=rf"`{name}` must fit uint"),
    ):
        writer.end("a", **{"x": [1, 2, 3], "words": [1], name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": [1, 2]}, r"`x` must have the shape \(3,\). Received: \(2,\)"),
        ({"x": [1, 2, 3], "words": [[1]]}, r"items of `words` must have the shape \(\)"),
        ({"words": [1]}, "must have a value in every column. Received: none in x"),
    ],
)
def test_values_of_another_shape_are_refused(tmp_path, values, message):
    with writing(tmp_path, COLUMNS, lambda _: None) as writer, pytest.raises(ValueError, match=message):
        writer.end("a", **values)


def test_not_a_number_is_a_number(tmp_path):
    with writing(tmp_path, {"x": Column("float32")}, lambda _: None) as writer:
        writer.end("a", x=np.nan)
        writer.finish()
    assert np.isnan(Store.open(tmp_path).array("x")).all()


def test_many_faults_are_counted_and_some_named(tmp_path):
    with writing(tmp_path, COLUMNS, lambda _: None) as writer:
        for _ in range(30):
            writer.skip("a.png", "broken", "is broken")
        writer.finish()
    store = Store.open(tmp_path)
    assert (store.skipped, len(store.faults)) == ({"broken": 30}, 20)
    assert store.faults[0] == "a.png is broken"
