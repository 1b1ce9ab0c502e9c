import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data import preparation, writing
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.data.preparation import Preparation, Size, cache, prepare
from ikelos.pipelines.data.records import Record
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.preprocessing import Preprocessing


class Greatest(Preprocessing):
    """Preprocessing with the greatest number of the training split."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def save(self, folder):
        (folder / "number").write_text(str(self.number))


class KilledError(Exception):
    pass


class Numbers(Preparation):
    """Preparation of numbers, divided by the greatest one; negative ones are faulty. Records its work and may die."""

    def __init__(self, splits, allowed_faults=0.0, die_after=None):
        self.name = "some/numbers: all"
        self.allowed_faults = allowed_faults
        self.done = []
        self._splits, self._left = splits, die_after

    def identity(self):
        return self._splits

    def learn(self, progress):
        self._note("learned")
        return Greatest(max(self._splits["train"]))

    def load(self, folder):
        return Greatest(int((folder / "number").read_text()))

    def chunks(self, split):
        return [[0, len(self._splits[split])]]

    def records(self, split, chunk):
        return (Record(str(index), {"number": self._splits[split][index]}) for index in range(*chunk))

    def from_records(self, records):
        splits = {split: [record.features["number"] for record in records.read(split)] for split in SPLITS}
        return Numbers(splits, self.allowed_faults)

    def columns(self, learned):
        return {"share": Column("float32")}

    def size(self, split):
        return Size(len(self._splits[split]), "examples")

    def write(self, learned, split, writer):
        for index in range(writer.cursor or 0, len(self._splits[split])):
            self._note((split, index))
            number = self._splits[split][index]
            if number < 0:
                writer.skip(str(index), "negative", f"is {number}")
            else:
                writer.end(str(index), share=np.float32(number / learned.number))
            writer.read(index + 1, 1)

    def _note(self, what):
        self.done.append(what)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise KilledError


NUMBERS = {"train": [1, 4, 2, 3, 4], "validation": [2], "test": [1, 3]}
ALL = ["learned", *((split, index) for split in SPLITS for index in range(len(NUMBERS[split])))]


def content(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_data_is_prepared_once_and_then_found():
    first, second = Numbers(NUMBERS), Numbers(NUMBERS)
    made, found = prepare(first), prepare(second)
    assert (first.done, second.done) == (ALL, [])
    assert made.folder == found.folder
    assert made.folder.parent == cache() / "data"
    assert made.folder.name.startswith("some_numbers_all-")
    assert json.loads((made.folder / "identity.json").read_text())[1] == NUMBERS
    assert (found.learned.number, list(found.splits)) == (4, list(SPLITS))
    np.testing.assert_array_equal(found.splits["train"].array("share"), np.float32([0.25, 1, 0.5, 0.75, 1]))
    assert [split.sha256() for split in made.splits.values()] == [split.sha256() for split in found.splits.values()]
    assert prepare(Numbers(NUMBERS | {"test": [1, 2]})).folder != made.folder


@pytest.mark.parametrize("die_after", range(len(ALL)))
def test_one_that_was_killed_goes_on_and_ends_the_same(tmp_path, monkeypatch, die_after):
    monkeypatch.setattr(writing, "PART_BYTES", 1)  # one example in each part
    with pytest.raises(KilledError):
        prepare(Numbers(NUMBERS, die_after=die_after))
    second = Numbers(NUMBERS)
    folder = prepare(second).folder
    assert second.done == ALL[die_after:]
    assert list(folder.parent.iterdir()) == [folder]
    monkeypatch.setenv("IKELOS_CACHE", str(tmp_path / "unbroken"))
    assert content(folder) == content(prepare(Numbers(NUMBERS)).folder)


def test_of_two_at_once_one_waits_for_the_other(monkeypatch):
    both = [Numbers(NUMBERS), Numbers(NUMBERS)]
    inside, begun = threading.Event(), threading.Event()
    learn = Numbers.learn

    def slow(self, progress):
        inside.set()
        assert begun.wait(60)
        time.sleep(0.1)  # the other process reaches the lock
        return learn(self, progress)

    monkeypatch.setattr(Numbers, "learn", slow)
    found = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: prepare(both[i])})) for i in (0, 1)]
    threads[0].start()
    assert inside.wait(60)
    threads[1].start()
    begun.set()
    for thread in threads:
        thread.join()
    assert [one.done for one in both] == [ALL, []]
    assert found[0].folder == found[1].folder
    assert list(found[0].folder.parent.iterdir()) == [found[0].folder]


def test_one_that_failed_leaves_the_lock_to_the_next():
    for _ in range(2):
        with pytest.raises(KilledError):
            prepare(Numbers(NUMBERS, die_after=2))
    assert prepare(Numbers(NUMBERS)).learned.number == 4


def test_damage_in_prepared_data_is_found(tmp_path):
    folder = prepare(Numbers(NUMBERS)).folder
    path = folder / "validation" / "share.bin"
    path.write_bytes(b"\0" * 4)
    with pytest.raises(UserError, match=rf"{path} is damaged \(its SHA-256 checksum differs\): delete {folder}\.$"):
        prepare(Numbers(NUMBERS))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "preprocessing" / "number").write_text("5"),
        lambda folder: (folder / "preprocessing" / "number").unlink(),
        lambda folder: (folder / "preprocessing" / "another").write_text("5"),
        lambda folder: (folder / "preprocessing" / "another").mkdir(),
        lambda folder: shutil.rmtree(folder / "preprocessing"),
        lambda folder: (folder / "preprocessing.json").write_text("{"),
        lambda folder: (folder / "preprocessing.json").unlink(),
    ],
    ids=["changed", "gone", "more", "a folder", "all gone", "sums changed", "sums gone"],
)
def test_damage_in_what_was_learned_is_found(damage):
    folder = prepare(Numbers(NUMBERS)).folder
    learned = folder / "preprocessing"
    damage(folder)
    with pytest.raises(UserError, match=rf"{learned} is damaged \(its SHA-256 checksums differ\): delete {folder}\.$"):
        prepare(Numbers(NUMBERS))


class Changing(Numbers):
    """Preparation of numbers that are changed after some of its work."""

    def __init__(self, splits, change_after, change):
        super().__init__(splits)
        self._change_after, self._change = change_after, change

    def _note(self, what):
        super()._note(what)
        if len(self.done) == self._change_after:
            self._change(self._splits)


@pytest.mark.parametrize("change_after", [1, 3, len(ALL)])
def test_a_source_that_changes_while_it_is_prepared_is_refused_and_nothing_is_kept(change_after):
    numbers = {split: list(values) for split, values in NUMBERS.items()}
    changing = Changing(numbers, change_after, lambda splits: splits["test"].__setitem__(0, 2))
    with pytest.raises(
        UserError, match=r"The data of some/numbers: all changed while it was prepared\. Run the command again"
    ):
        prepare(changing)
    (unfinished,) = (cache() / "data").iterdir()
    assert [path.name for path in unfinished.iterdir() if path.is_dir()] == []
    # The same data again, and the changed data: both are read from the beginning.
    for splits in (NUMBERS, numbers):
        again = Numbers(splits)
        test = prepare(again).splits["test"]
        assert again.done == ALL
        np.testing.assert_array_equal(test.array("share"), np.float32(splits["test"]) / 4)


@pytest.mark.parametrize("error", [FileNotFoundError(), tf.errors.NotFoundError(None, None, "no such file")])
def test_a_source_that_vanishes_while_it_is_prepared_is_refused(error):
    class Vanishing(Numbers):
        def identity(self):
            if self.done:
                raise error
            return super().identity()

    with pytest.raises(UserError, match="changed while it was prepared"):
        prepare(Vanishing(NUMBERS))


def test_the_folder_is_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value, expected in [
        ("IKELOS_CACHE", "/there", "/there"),
        ("IKELOS_CACHE", "", "/home/somebody/.cache/ikelos"),
        ("XDG_CACHE_HOME", "/caches", "/caches/ikelos"),
    ]:
        monkeypatch.setenv(name, value)
        assert cache() == Path(expected)


# Faults

FAULTY = {**NUMBERS, "test": [1, -1, 2, -3, 4]}


def test_too_many_faulty_examples_are_one_error_that_names_them():
    for number, allowed in ((1, 0.0), (2, 0.3)):  # each time
        with pytest.raises(UserError) as caught:
            prepare(Numbers(FAULTY, allowed))
        assert str(caught.value).splitlines() == [
            "1 is -1",
            "3 is -3",
            "2 of 5 examples of the split 'test' are faulty (2 negative), more than the share "
            f"data.source.allowed_faults={allowed:g}. Fix them, or leave them out: "
            "--set data.source.allowed_faults=0.4",
        ], number


def test_faults_of_all_splits_are_told_at_once():
    with pytest.raises(UserError) as caught:
        prepare(Numbers({"train": [1, -2], "validation": [], "test": [-3, 4]}))
    assert str(caught.value).splitlines() == [
        "1 is -2",
        "1 of 2 examples of the split 'train' is faulty (1 negative), more than the share "
        "data.source.allowed_faults=0. Fix it, or leave it out: --set data.source.allowed_faults=0.5",
        "The split 'validation' of some/numbers: all has no examples.",
        "0 is -3",
        "1 of 2 examples of the split 'test' is faulty (1 negative), more than the share "
        "data.source.allowed_faults=0. Fix it, or leave it out: --set data.source.allowed_faults=0.5",
    ]


def test_faulty_examples_within_the_share_are_left_out_and_no_other_data():
    with pytest.raises(UserError):
        prepare(Numbers(FAULTY))
    again = Numbers(FAULTY, allowed_faults=0.4)
    found = prepare(again).splits["test"]
    assert again.done == []
    assert list(found.ids) == ["0", "2", "4"]
    assert found.facts() | {"skipped": {"negative": 2}, "faults": ["1 is -1", "3 is -3"]} == found.facts()


def test_the_share_that_is_advised_is_enough_and_one_that_a_recipe_takes():
    for negative, others in ((1, 2), (1, 6), (2, 5)):
        numbers = NUMBERS | {"test": [-1] * negative + [1] * others}
        with pytest.raises(UserError) as caught:
            prepare(Numbers(numbers))
        assert len(prepare(Numbers(numbers, float(str(caught.value).rpartition("=")[2]))).splits["test"]) == others
    with pytest.raises(UserError, match=r"3 of 3 examples .* are faulty .*=0. Fix them$"):
        prepare(Numbers(NUMBERS | {"test": [-1, -1, -1]}))


@pytest.mark.parametrize(("faulty", "every"), [(3, 10_000), (29, 100), (57, 100), (1, 3), (1, 7)])
def test_the_share_that_is_advised_is_enough_for_any_number(faulty, every):
    store = Store(Path(), {}, every - faulty, [], {"broken": faulty}, [], 0)
    with pytest.raises(UserError) as caught:
        preparation._check_faults(Numbers(NUMBERS), {"train": store})
    advised = float(str(caught.value).rpartition("=")[2])
    preparation._check_faults(Numbers(NUMBERS, advised), {"train": store})
    assert advised - faulty / every < 2e-4


def test_many_faults_are_counted():
    with pytest.raises(UserError) as caught:
        prepare(Numbers(NUMBERS | {"validation": [-1] * 30 + [1]}))
    lines = str(caught.value).splitlines()
    assert lines[19:21] == ["19 is -1", "... and 10 more"]
    assert lines[21].startswith("30 of 31 examples of the split 'validation' are faulty (30 negative)")


@pytest.mark.parametrize("die_after", range(7, len(ALL) + 3))
def test_a_fault_is_counted_once_however_often_it_was_begun_again(monkeypatch, die_after):
    monkeypatch.setattr(writing, "PART_BYTES", 10)
    with pytest.raises(KilledError):
        prepare(Numbers(FAULTY, die_after=die_after))
    assert prepare(Numbers(FAULTY, 0.5)).splits["test"].skipped == {"negative": 2}


def test_a_split_of_nothing_is_refused():
    with pytest.raises(UserError, match=r"The split 'test' of some/numbers: all has no examples\."):
        prepare(Numbers(NUMBERS | {"test": []}))


@pytest.mark.parametrize(("unit", "expected"), [("bytes", 7), ("examples", 1)])
def test_an_example_counts_in_the_unit_of_the_total(unit, expected):
    assert Size(20, unit).progress_of(7) == expected
