import hashlib
import shutil
import struct
import subprocess
import zlib

import pytest

from ikelos.pipelines.data.builders import bible_verses
from ikelos.pipelines.errors import UserError

BOOK = '<div osisID="Gen" sID="gen1" type="book"/> <title level="1">Genesis</title>'


def chapter(name):
    return f'<div sID="gen2" type="x-p"/><chapter n="1" osisID="{name}" sID="{name}"/>'


def write_module(folder, testaments):
    """Writes slots of texts as SWORD's zText does, with a block for every three of them."""
    folder.mkdir(parents=True)
    for testament, slots in testaments.items():
        blocks, index, content = [], b"", b""
        for first in range(0, len(slots), 3):
            part, start = [slot.encode() for slot in slots[first : first + 3]], 0
            for text in part:
                index += struct.pack("<IIH", len(blocks), start, len(text))
                start += len(text)
            packed = zlib.compress(b"".join(part))
            blocks.append(struct.pack("<III", len(content), len(packed), start))
            content += packed
        for suffix, data in (("bzs", b"".join(blocks)), ("bzv", index), ("bzz", content)):
            (folder / f"{testament}.{suffix}").write_bytes(data)


def test_verses_are_numbered_by_the_marks_of_chapters(tmp_path):
    genesis = ["", "module", BOOK, chapter("Gen.1"), "one", "two", chapter("Gen.2"), "three", BOOK, "introduction"]
    write_module(tmp_path / "module", {"ot": genesis, "nt": [BOOK, chapter("Matt.1"), "four", ""]})
    assert bible_verses.verses(tmp_path / "module") == {
        "Gen.1.1": "one",
        "Gen.1.2": "two",
        "Gen.2.1": "three",
        "Matt.1.1": "four",
        "Matt.1.2": "",
    }


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        ('<w lemma="x">God</w><note placement="foot">1:1 <b>Hebrew</b></note><w>created</w> .', "God created."),
        ('<title type="psalm">A Psalm.</title>  <l level="1">Yahweh &amp; I</l>', "A Psalm. Yahweh & I"),
        ("y<transChange>la</transChange>declaró", "y la declaró"),
    ],
)
def test_markup_and_notes_are_left_out(marked, text):
    assert bible_verses.plain(marked) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("EN el principio", "En el principio"),
        ("Y FUERON acabados", "Y fueron acabados"),
        ("Y JOSÉ vino", "Y José vino"),
        ("¿QUIÉN es?", "¿Quién es?"),
        ("A él dijo: YO SOY", "A él dijo: YO SOY"),
    ],
)
def test_initial_capitals_are_written_as_usual(text, written):
    assert bible_verses.without_capitals(text, {"fueron", "quién", "el"}) == written


def test_chapters_are_held_out_and_doubtful_verses_left_out():
    english = {"Gen.1.1": "a b c d", "Gen.33.1": "test", "Gen.39.1": "validation", "Num.13.1": "shifted"}
    english |= {"Gen.1.2": "far too long a text", "Gen.1.3": "without a partner", "Gen.1.4": ""}
    spanish = english | {"Gen.1.1": "e f g h", "Gen.1.2": "short", "Gen.1.3": "", "Gen.1.4": "x"}
    found = {split: list(bible_verses.pairs(split, english, spanish)) for split in ("train", "validation", "test")}
    assert found == {
        "train": [("Gen.1.1", "a b c d", "e f g h")],
        "validation": [("Gen.39.1", "validation", "validation")],
        "test": [("Gen.33.1", "test", "test")],
    }


def test_held_out_chapters_are_those_of_the_smallest_checksums():
    held_out = [*bible_verses.TEST.split(), *bible_verses.VALIDATION.split()]
    sums = [hashlib.sha256(name.encode()).hexdigest() for name in held_out]
    assert len(set(held_out)) == 90
    assert max(sums[:60]) < min(sums[60:])
    assert not set(held_out) & set(bible_verses.SHIFTED.split())


@pytest.fixture
def package(tmp_path):
    """Makes a Debian package with a module."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    root = tmp_path / "root"
    write_module(root / "usr/share/sword/modules/texts/ztext/x", {"ot": ["", chapter("Gen.1"), "one"], "nt": [""]})
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        "Package: sword-text-web\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@b.c>\nDescription: none\n"
    )
    path = tmp_path / "manual" / "sword-text-web_1_all.deb"
    path.parent.mkdir()
    subprocess.run(["dpkg-deb", "--build", str(root), str(path)], check=True, capture_output=True)
    return path


def test_a_package_is_unpacked_if_its_checksum_is_known(package, monkeypatch):
    with pytest.raises(UserError, match=r"sword-text-web_1_all\.deb has another SHA-256"):
        bible_verses.modules(package.parent)
    checksum = hashlib.sha256(package.read_bytes()).hexdigest()
    monkeypatch.setattr(bible_verses, "_PACKAGES", {"sword-text-web": (checksum,)})
    for _ in range(2):
        (folder,) = bible_verses.modules(package.parent)
        assert bible_verses.verses(folder) == {"Gen.1.1": "one"}
