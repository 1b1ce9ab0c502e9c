import os

import numpy as np
import pytest

from ikelos.pipelines.data import patterns
from ikelos.pipelines.data.config import SPLITS, Source
from ikelos.pipelines.errors import UserError

SUFFIXES = (".png", ".jpg")


@pytest.fixture
def touch(tmp_path, monkeypatch):
    """Returns a function that makes empty files in the working directory."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path

    return make


def training(*given, spans=None, **others):
    """Returns the training files of a pattern."""
    files = {"train": given, "validation": ("held/validation.png",), "test": ("held/test.png",)} | others
    return patterns.by_split(Source(files=files, spans=spans), SUFFIXES)["train"]


@pytest.fixture
def held(touch):
    touch("held/validation.png", "held/test.png")
    return touch


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("in/*", ["in/B.JPG", "in/a.png", "in/x[1].png"]),
        ("in/*.png", ["in/a.png", "in/x[1].png"]),
        ("in/?.png", ["in/a.png"]),
        ("in/[ab].png", ["in/a.png"]),
        ("in/x[1].png", ["in/x[1].png"]),  # the name of a file with brackets, as in a shell
        ("in/**/*.png", ["in/a.png", "in/deep/er/c.png", "in/x[1].png"]),
        ("in", ["in/B.JPG", "in/a.png", "in/deep/er/c.png", "in/x[1].png"]),
        ("in/", ["in/B.JPG", "in/a.png", "in/deep/er/c.png", "in/x[1].png"]),
        ("~/in/*.JPG", ["{home}/in/B.JPG"]),
        ("in/.a.png", ["in/.a.png"]),  # a hidden file, given by its name
    ],
)
def test_patterns_mean_what_they_mean_in_a_shell(held, monkeypatch, pattern, found):
    home = held("in/a.png", "in/B.JPG", "in/x[1].png", "in/deep/er/c.png", "in/.a.png", "in/.hidden/d.png")
    held("in/Thumbs.db", "in/.DS_Store", "in/deep/desktop.ini", "in/._a.png")
    monkeypatch.setenv("HOME", str(home))
    assert training(pattern) == sorted(name.format(home=home) for name in found)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "none/*.png",
            r"^`files\.train` must match a file\. Received: files\.train='none/\*.png', without a match in {here}$",
        ),
        (
            "in/{{a,b}}.png",
            r"='in/{{a,b}}.png', without a match in {here}; braces are not expanded: write a list of patterns$",
        ),
        ("in/*.tiff", r"must match only files with the suffixes \.png, \.jpg\. Received: in/c\.tiff$"),
        (
            "in/*",
            r"in/c\.tiff; to leave other files out: --set 'data\.source\.files\.train=\[in/\*\.PNG, in/\*\.png\]'$",
        ),
        (
            "in",
            r"; to leave other files out: --set 'data\.source\.files\.train=\[in/\*\*/\*\.PNG, in/\*\*/\*\.png\]'$",
        ),
        ("held/*.png", r"Received: held/validation\.png, which is in files\.train and files\.validation$"),
    ],
)
def test_refuses(held, pattern, message):
    here = held("in/a.png", "in/b.PNG", "in/c.tiff")
    with pytest.raises(UserError, match=message.format(here=here)):
        training(pattern.format())


@pytest.mark.parametrize(
    ("pattern", "spans", "found"),
    [
        ("log/{SPAN}/*.png", None, ["log/07/a.png", "log/10/a.png", "log/10/b.png", "log/8/a.png", "log/9/a.png"]),
        ("log/{SPAN}/*.png", 2, ["log/10/a.png", "log/10/b.png", "log/9/a.png"]),  # by value, not by text
        ("log/{SPAN}/*.png", 99, ["log/07/a.png", "log/10/a.png", "log/10/b.png", "log/8/a.png", "log/9/a.png"]),
        ("log/{SPAN}", 1, ["log/10/a.png", "log/10/b.png"]),  # all files of the folder
        ("**/{SPAN}/b.png", None, ["log/10/b.png"]),
        ("~/log/{SPAN}/b.png", 1, ["{home}/log/10/b.png"]),
        ("day/{SPAN}/*.png", 1, ["day/2026-11-02/a.png"]),
        ("day/2026-11-{SPAN}/*.png", 1, ["day/2026-11-02/a.png"]),
        ("day/{SPAN}-*-02/*.png", None, ["day/2026-11-02/a.png"]),
        ("flat/*{SPAN}.png", None, ["flat/x12.png", "flat/x7.png"]),  # all digits of a number
        ("flat/*{SPAN}.png", 1, ["flat/x12.png"]),
        ("flat/{SPAN}-[0-9]*.jpg", 1, ["flat/2026-11-02-3.jpg"]),
        ("[brackets]/{SPAN}/a.png", 1, []),  # a pattern of one of these letters
        ("brackets [1]/[[]{SPAN}]/a.png", 1, []),
        ("brackets*/[[]{SPAN}]/a.png", 1, ["brackets [1]/[5]/a.png"]),
    ],
)
def test_a_span_is_a_number_or_a_date(held, monkeypatch, pattern, spans, found):
    home = held("log/07/a.png", "log/8/a.png", "log/9/a.png", "log/10/a.png", "log/10/b.png", "log/x/a.png", "log/new")
    held("day/2025-12-31/a.png", "day/2026-11-02/a.png", "day/new/a.png", "brackets [1]/[5]/a.png")
    held("flat/x7.png", "flat/x12.png", "flat/2026-11-01-9.jpg", "flat/2026-11-02-3.jpg")
    (home / "log" / "11").mkdir()  # without a file
    monkeypatch.setenv("HOME", str(home))
    if found:
        assert training(pattern, spans=spans) == sorted(name.format(home=home) for name in found)
    else:
        with pytest.raises(UserError, match=r"^`files\.train` must match a file\. Received: files\.train='"):
            training(pattern, spans=spans)


def test_all_splits_take_the_newest_spans_of_the_training_files(touch):
    touch("base.png", "held.png", *(f"{day}/{name}.png" for day in (1, 2, 3) for name in ("train", "test")))
    touch("4/test.png")  # whose training file is not there yet
    files = {"train": ("{SPAN}/train.png", "base.png"), "validation": ("held.png",), "test": ("{SPAN}/test.png",)}
    assert patterns.by_split(Source(files=files, spans=2), SUFFIXES) == {
        "train": ["2/train.png", "3/train.png", "base.png"],
        "validation": ["held.png"],
        "test": ["2/test.png", "3/test.png"],
    }


def test_shares_divide_the_newest_spans(touch):
    touch(*(f"{day}/{number}.png" for day in (1, 2, 3) for number in range(100)))
    all_spans = shared("{SPAN}/*.png")
    assert shared("{SPAN}/*.png", spans=2) == {path: split for path, split in all_spans.items() if path[0] in "23"}


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            "day/{{SPAN}}/a.png",
            "late/{{SPAN}}/a.png",
            r"^`files\.test` must match a file of the newest spans of the training files, from 2026-11-02 on "
            r"\(`spans`\)\. Received: files\.test='late/{{SPAN}}/a\.png', without a match in these spans$",
        ),
        (
            "*/{{SPAN}}/a.png",
            "held/test.png",
            r"^`files` must have only numbers or only dates at `{{SPAN}}`, .* Received: 5 and 2026-11-02$",
        ),
        (
            "flat/*{{SPAN}}*",
            "held/test.png",
            r"^`files` must have `{{SPAN}}` where a name has one number or date\. Received: 'flat/\*{{SPAN}}\*', with "
            r"1 or 2 in flat/1-2\.png$",
        ),
    ],
)
def test_spans_that_cannot_be_chosen_are_refused(held, train, test, message):
    held("day/2026-11-02/a.png", "number/5/a.png", "late/2026-11-01/a.png", "flat/1-2.png")
    with pytest.raises(UserError, match=message.format()):
        training(train.format(), test=(test.format(),), spans=1)


def test_a_link_to_a_file_of_another_split_is_in_two_splits(held):
    held("in/a.png").joinpath("in/b.png").symlink_to("../held/test.png")
    with pytest.raises(UserError, match=r"^`files` must have each file in one split\. "):
        training("in/*")


def shared(files, suffixes=SUFFIXES, spans=None, **shares):
    source = Source(files=files, splits={"validation": 0.1, "test": 0.2} | shares, spans=spans)
    found = patterns.by_split(source, suffixes, divisible=(".txt",))
    return {path: split for split, paths in found.items() for path in paths}


def test_a_file_stays_in_its_split(touch):
    names = [f"data/{kind}/{number}.png" for kind in ("cat", "dog") for number in range(100)]
    here = touch(*names[:60], *names[150:])
    before = shared("data")
    touch(*names, "data/cow/1.png")
    after = shared(("data/cat/*.png", "data"))
    assert before.items() <= after.items()
    # The split depends neither on the place of the folder, nor on the other share, nor on the working directory.
    (here / "data").rename(here / "moved")
    moved = shared(f"{here}/moved/**/*.png")
    assert {os.path.relpath(path, here / "moved"): split for path, split in moved.items()} == {
        os.path.relpath(path, "data"): split for path, split in after.items()
    }
    more = shared("moved", validation=0.5)
    assert {path for path, split in more.items() if split == "test"} == {
        path.replace("data", "moved") for path, split in after.items() if split == "test"
    }
    assert all(more[path.replace("data", "moved")] != "train" for path in after if after[path] != "train")


def test_a_link_to_another_file_is_taken_once_and_the_order_stays(touch):
    here = touch(*(f"data/{number}.png" for number in range(100, 200)))
    before = shared("data")
    (here / "data/999.png").symlink_to("100.png")
    assert shared("data") == before
    source = Source(files="data", splits={"validation": 0.1, "test": 0.2})
    for paths in patterns.by_split(source, SUFFIXES, divisible=(".txt",)).values():
        assert paths == sorted(paths)


def test_a_file_in_two_folders_has_two_classes(touch):
    here = touch(*(f"data/{kind}/{number}.png" for kind in ("cat", "dog") for number in range(100)))
    (here / "data/dog/x.png").symlink_to("../cat/5.png")
    source = Source(files="data", splits={"validation": 0.1, "test": 0.2})
    assert "data/dog/x.png" not in shared("data")  # if folders are not classes
    message = (
        r"^`files` must have each file in one folder, whose name is its class, if `splits` are shares\. "
        "Received: data/cat/5.png and data/dog/x.png, the same file$"
    )
    with pytest.raises(UserError, match=message):
        patterns.by_split(source, SUFFIXES, classed=(".png",))
    patterns.by_split(source, SUFFIXES, classed=(".jpg",))


def test_the_shares_are_those_that_were_asked_for(touch):
    touch(*(f"data/{number}.png" for number in range(1000)))
    splits = list(shared("data").values())
    counts = np.array([splits.count(split) for split in SPLITS])
    # Within four standard deviations of a random draw.
    np.testing.assert_array_less(np.abs(counts - [700, 100, 200]), 4 * np.sqrt([210, 90, 160]))


def test_too_few_files_for_a_split_are_refused(touch):
    touch("data/a.png", "data/b.png")
    with pytest.raises(
        UserError, match=r"^`splits` must give each split one of the 2 files\. Received: splits=.* none to \w+, "
    ):
        shared("data")


def test_one_file_that_can_be_divided_is_in_all_splits(touch):
    touch("a.TXT")
    source = Source(files="a.TXT", splits={"validation": 0.1, "test": 0.2})
    assert patterns.by_split(source, (".txt",), (".txt",)) == {split: ["a.TXT"] for split in SPLITS}
    with pytest.raises(UserError, match="must give each split one of the 1 files"):
        patterns.by_split(source, (".txt",))


def test_names_are_printable():
    assert patterns.printable_path("zwölf.png") == "zwölf.png"
    assert patterns.printable_path(os.fsdecode(b"a\xff.png")) == "a\\xff.png"
