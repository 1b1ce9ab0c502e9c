import pytest

from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.errors import UserError


def test_no_two_lists_of_parts_look_alike():
    lists = [[], [b""], [b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [b"c", b"ab"]]
    assert len({fingerprint.sha256(parts) for parts in lists}) == len(lists)
    assert fingerprint.sha256([b"a"]) == fingerprint.sha256(iter([b"a"]))


def test_a_split_that_changed_is_named(tmp_path):
    folder = tmp_path / "assets"
    folder.mkdir()
    fingerprint.write(folder, {"train": "1", "test": "2"})
    fingerprint.check(folder, {"train": "1", "test": "2"})
    with pytest.raises(UserError, match=r"The data of the split 'test' .data.source. has changed since the run began"):
        fingerprint.check(folder, {"train": "1", "test": "3"})
