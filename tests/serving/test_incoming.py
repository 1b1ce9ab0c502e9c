import errno
import os
import pathlib
import subprocess
import sys

import pytest

from ikelos.serving.incoming import incoming, model_name, newest, publish, versions

# Three exporters at once, with plain files for models.
_EXPORTER = """
import pathlib, sys
from ikelos.serving.incoming import incoming, publish
base, name, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    with incoming(base) as folder:
        model = folder / "version"
        model.mkdir()
        (model / "content").write_text(f"{name} {number}")
        publish(model, base)
"""


def publish_file(base, content):
    with incoming(base) as folder:
        (folder / "version").mkdir()
        (folder / "version" / "content").write_text(content)
        return publish(folder / "version", base)


def names(base):
    return sorted(path.name for path in base.iterdir())


def test_versions_are_numbered_above_the_highest(tmp_path):
    base = tmp_path / "not" / "yet"
    assert publish_file(base, "a") == base / "1"
    assert publish_file(base, "b") == base / "2"
    (base / "17").mkdir()
    (base / "0020").touch()
    (base / "99.old").mkdir()
    assert publish_file(base, "c") == base / "21"
    assert (base / "21" / "content").read_text() == "c"
    assert names(base) == ["0020", "1", "17", "2", "21", "99.old"]


def test_versions_are_what_a_server_takes_for_them(tmp_path):
    assert newest(tmp_path / "missing") is None
    # The last two are digits to Python, but not to TensorFlow Serving.
    for name in ("export", ".incoming-99", "99.old", "v99", "٩٩", "9²"):
        (tmp_path / name).mkdir()
    assert newest(tmp_path) is None
    for name in ("9", "10", "0020"):
        (tmp_path / name).mkdir()
        assert newest(tmp_path) == tmp_path / name


def test_a_number_taken_meanwhile_is_left_alone(tmp_path, monkeypatch):
    rename = os.rename

    def slow_rename(source, target):
        monkeypatch.setattr(os, "rename", rename)
        publish_file(tmp_path, "faster")
        rename(source, target)

    monkeypatch.setattr(os, "rename", slow_rename)
    assert publish_file(tmp_path, "slower") == tmp_path / "2"
    assert (tmp_path / "1" / "content").read_text() == "faster"
    assert (tmp_path / "2" / "content").read_text() == "slower"


def test_exporters_at_the_same_time(tmp_path):
    exporters = [subprocess.Popen([sys.executable, "-c", _EXPORTER, str(tmp_path), name, "20"]) for name in "abc"]
    assert [exporter.wait() for exporter in exporters] == [0, 0, 0]
    assert sorted(int(name) for name in names(tmp_path)) == list(range(1, 61))
    contents = {path.read_text() for path in tmp_path.glob("*/content")}
    assert contents == {f"{name} {number}" for name in "abc" for number in range(20)}


def test_leftovers_of_the_dead_go_and_the_living_stay(tmp_path):
    for name in (".incoming-1-locked", ".incoming-2-early"):
        (tmp_path / name / "version").mkdir(parents=True)
    (tmp_path / ".incoming-1-locked" / "lock").touch()
    (tmp_path / ".unrelated").mkdir()
    with incoming(tmp_path) as living:
        assert names(tmp_path) == sorted([living.name, ".unrelated"])
        publish_file(tmp_path, "other")
        assert names(tmp_path) == sorted([living.name, ".unrelated", "1"])
    assert names(tmp_path) == [".unrelated", "1"]


def test_a_folder_removed_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    mkdir = pathlib.Path.mkdir
    made = []

    def unlucky_mkdir(path, *args, **kwargs):
        mkdir(path, *args, **kwargs)
        if path.name.startswith(".incoming-"):
            made.append(path)
            if len(made) == 1:
                path.rmdir()

    monkeypatch.setattr(pathlib.Path, "mkdir", unlucky_mkdir)
    with incoming(tmp_path) as folder:
        assert made == [tmp_path / made[0].name, folder]
        assert folder.is_dir()


def test_errors_pass_and_leave_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        publish_file(tmp_path, "a")
    assert names(tmp_path) == []


def test_base_path_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        publish_file(tmp_path / "file" / "models", "a")


def test_the_versions_of_a_base_path(tmp_path):
    for name in ("2", "00000010", "x", "-1", ".incoming-1"):
        (tmp_path / name).mkdir()
    assert versions(tmp_path) == {2: tmp_path / "2", 10: tmp_path / "00000010"}
    assert newest(tmp_path) == tmp_path / "00000010"
    assert versions(tmp_path / "absent") == {}
    (tmp_path / "file").touch()
    assert versions(tmp_path / "file") == {}


@pytest.mark.parametrize(
    ("base", "name"),
    [("/runs/lm/export", "lm"), ("/models/lm", "lm"), ("/models/a b:c", "a_b_c"), ("/export", "model"), ("/é", "_")],
)
def test_the_name_of_a_model(base, name):
    assert model_name(pathlib.Path(base)) == name


def test_numbers_beyond_int64_are_no_versions(tmp_path):
    for name in (2**63 - 1, 2**63):
        (tmp_path / str(name)).mkdir()
    assert list(versions(tmp_path)) == [2**63 - 1]
