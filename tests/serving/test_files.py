import os

import pytest

from ikelos.serving import files


def test_a_file_is_replaced_whole(tmp_path):
    files.write(tmp_path / "a.txt", "old")
    files.write(tmp_path / "a.txt", "é")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_after_a_failure_the_old_file_is_there_and_nothing_else(tmp_path):
    files.write(tmp_path / "a.txt", "old")

    def fail():
        with files.writing(tmp_path / "a.txt") as file:
            file.write(b"half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full") as caught:
        fail()
    assert caught.value.__notes__ == [f"writing {tmp_path}/a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor):
        events.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), tmp_path))
        fsync(descriptor)

    def noting_replace(source, target):
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    (tmp_path / "new" / "inner").mkdir(parents=True)
    (tmp_path / "new" / "inner" / "a").write_text("a")
    files.finish(tmp_path / "new", tmp_path / "folder")
    assert events == ["new/inner/a", "new/inner", "new", "rename", "."]
    events.clear()
    files.write(tmp_path / "b", "b")
    assert events == ["b.unfinished", "rename", "."]
    assert (tmp_path / "folder" / "inner" / "a").read_text() == "a"
