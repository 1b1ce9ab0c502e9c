import errno
import json

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data import store as stores
from ikelos.pipelines.data.store import Column, Ragged, Store, tensor
from ikelos.pipelines.data.writing import writing
from ikelos.pipelines.errors import UserError

DTYPES = ["uint8", "uint16", "uint32", "int64", "float32"]


def values_of(dtype, shape):
    """Returns the least and the greatest number of a dtype, and others."""
    info = np.finfo(dtype) if dtype == "float32" else np.iinfo(dtype)
    found = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    found.flat[:2] = info.min, info.max
    return found


def test_texts_come_back(store_of):
    texts = ["", "a cat", "Ikelos, ἴκελος", b"\xc3\xa9"]
    store = store_of({"text": [stores.text_value(text) for text in texts]})
    assert store.columns["text"] == stores.TEXT_COLUMN
    assert store.texts("text") == ["", "a cat", "Ikelos, ἴκελος", "é"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_values_come_back(store_of, dtype, shape):
    fixed, items = values_of(dtype, [3, *shape]), values_of(dtype, [5, *shape])
    ragged = [items[:0], items[:4], items[4:]]
    store = store_of({"fixed": fixed, "ragged": ragged})
    assert len(store) == 3
    np.testing.assert_array_equal(store.array("fixed"), fixed, strict=True)
    found = store.ragged("ragged")
    assert len(found) == 3
    for array, expected in zip(found, ragged, strict=True):
        np.testing.assert_array_equal(array, expected, strict=True)
    np.testing.assert_array_equal(found.lengths, [0, 4, 1])
    assert store.labels is None
    again = tensor(store.array("fixed"))
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, fixed)


@pytest.mark.parametrize("ragged", [False, True])
def test_a_store_of_nothing(tmp_path, ragged):
    with writing(tmp_path, {"x": Column("int64", (2,), ragged)}, lambda _: None) as writer:
        writer.finish()
    store = Store.open(tmp_path)
    assert (len(store), list(store.ids)) == (0, [])
    found = store.ragged("x").values if ragged else store.array("x")
    assert (found.shape, found.dtype) == ((0, 2), np.int64)
    assert tensor(found).shape == (0, 2)


def address(array):
    return np.asarray(array).__array_interface__["data"][0]


def test_a_tensor_of_a_mapped_column_shares_its_memory_and_another_does_not(store_of):
    store = store_of({"x": np.arange(64.0, dtype="float32"), "words": [np.arange(3)] * 64})
    for values in (store.array("x"), store.ragged("words").values, store.ragged("words").ends, store.array("x")[:9]):
        shared = tensor(values)
        assert address(np.frombuffer(memoryview(shared), values.dtype)) == address(values)
        assert shared.device.endswith("CPU:0")
    here = np.arange(64.0)
    copied = tensor(here)
    here[:] = 0
    np.testing.assert_array_equal(copied, np.arange(64.0))


def test_a_function_refers_to_a_column_and_does_not_hold_it(store_of):
    for values in (store_of({"x": np.arange(10_000)}).array("x"), np.arange(10_000)):
        held = tensor(values)
        function = tf.function(lambda at, held=held: tf.gather(held, at)).get_concrete_function(tf.constant(0))
        assert function.graph.as_graph_def().ByteSize() < 5_000


def test_what_is_written_into_a_mapped_column_is_not_in_the_file(store_of):
    store = store_of({"x": np.arange(4)})
    store.array("x")[:] = 0
    np.testing.assert_array_equal(Store.open(store.folder).array("x"), range(4))


def test_a_column_may_be_larger_than_all_memory(tmp_path):
    with open("/proc/meminfo") as file:
        kilobytes = dict(line.split()[:2] for line in file)
    size = (int(kilobytes["MemTotal:"]) + int(kilobytes["SwapTotal:"])) * 1024 + (1 << 30)
    path = tmp_path / "x.bin"
    with path.open("wb") as file:
        file.write(b"first")
        try:
            file.truncate(size)
        except OSError as error:
            if error.errno in (errno.EFBIG, errno.ENOSPC, errno.EINVAL):
                pytest.skip(f"the file system has no files of {size} bytes")
            raise
    column = Store(tmp_path, {"x": Column("uint8")}, size, [], {}, [], 0).array("x")
    assert (column.shape, column[:5].tobytes(), column[-1]) == ((size,), b"first", 0)


def test_names_are_any_text(store_of):
    names = ["", "a/b.txt", "zwölf 🎲", "\\xff.png"]
    store = store_of({"x": np.arange(4)}, names)
    assert list(store.ids) == names
    assert store.ids[-1] == names[-1]
    with pytest.raises(IndexError):
        store.ids[4]


@pytest.mark.parametrize("name", ["id.bin", "id.ends.bin", "x.bin", "words.bin", "words.ends.bin"])
@pytest.mark.parametrize("damage", ["changed", "short", "long", "gone"])
def test_a_damaged_file_is_named(store_of, name, damage):
    store = store_of({"x": np.arange(4), "words": [np.arange(3)] * 4})
    path = store.folder / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"changed": content, "short": content[:-1], "long": content + b"x"}[damage])
    with pytest.raises(UserError, match=rf"{path} is damaged \(.*\): delete {store.folder.parent}\.$") as caught:
        Store.open(store.folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", "\udcff", '{"columns": {}, "parts": []}'])
def test_a_broken_manifest_is_named(store_of, content):
    path = store_of({"x": np.arange(4)}).folder / "manifest.json"
    path.unlink()
    if content is not None:
        path.write_text(content, errors="surrogateescape")
    with pytest.raises(UserError, match=rf"{path} is damaged \(.*\): delete {path.parent.parent}\.$"):
        Store.open(path.parent)


def test_a_manifest_that_lacks_a_key_is_named(store_of):
    path = store_of({"x": np.arange(4)}).folder / "manifest.json"
    whole = json.loads(path.read_text())
    for key in whole:
        path.write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
        with pytest.raises(UserError, match=f"{path} is damaged"):
            Store.open(path.parent)


def test_the_sum_is_of_values_names_types_and_order(store_of):
    x, words = np.arange(4), [np.arange(n) for n in (0, 1, 2, 3)]
    others = [
        store_of({"x": x[::-1], "words": words}),
        store_of({"x": x, "words": [*words[1:], words[0]]}),
        store_of({"x": x.astype("uint8"), "words": words}),
        store_of({"x": x.view("float64").astype("float32"), "words": words}),
        store_of({"y": x, "words": words}),
        store_of({"x": x.reshape(4, 1), "words": words}),
        store_of({"x": x, "words": words}, ["0", "1", "2", "x"]),
        store_of({"x": x[:3], "words": words[:3]}),
    ]
    store = store_of({"x": x, "words": words})
    assert len({store.sha256(), *(other.sha256() for other in others)}) == 9
    assert store.sha256() == store_of({"x": x, "words": words}).sha256() == Store.open(store.folder).sha256()


def test_facts(store_of):
    store = store_of({"x": np.zeros([3, 5], "uint8")}, ["a", "bb", ""])
    assert store.facts() == {
        "examples": 3,
        "bytes": 15 + 3 + 4 * 8,
        "skipped": {},
        "faults": [],
        "empty": 0,
        "sha256": store.sha256(),
    }


def test_labels(store_of):
    np.testing.assert_array_equal(store_of({"label": np.array([1, 0])}).labels, [1, 0])


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 6, 9])
def test_the_head_has_the_first_items_alone(most):
    arrays = [np.arange(2), np.arange(0), np.arange(2, 5), np.arange(5, 6)]
    head = Ragged.of(arrays).head(most)
    np.testing.assert_array_equal(np.concatenate(list(head)), np.arange(min(most, 6)))
    assert all(len(array) <= len(whole) for array, whole in zip(head, arrays, strict=False))
    assert head.ends[-1] == len(head.values)


def test_arrays_follow_others():
    first, second = ([np.arange(length) + length for length in lengths] for lengths in ((2, 0, 3), (1, 4)))
    both = Ragged.of(first) + Ragged.of(second)
    assert [array.tolist() for array in both] == [array.tolist() for array in first + second]


def test_the_checksum_of_a_range(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_BLOCK", 4)
    (tmp_path / "a").write_bytes(b"abcdefghijkl")
    (tmp_path / "b").write_bytes(b"cdefghijk")
    assert stores.checksum_of(tmp_path / "a", 2, 11) == stores.checksum_of(tmp_path / "b", 0, 9)
    assert stores.checksum_of(tmp_path / "a", 2, 10) != stores.checksum_of(tmp_path / "b", 0, 9)
