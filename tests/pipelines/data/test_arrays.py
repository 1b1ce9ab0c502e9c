import numpy as np

from ikelos.pipelines.data.arrays import Arrays
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.data.preparation import prepare


def arrays(x, y):
    return Arrays("points", {split: {"x": x, "y": y} for split in SPLITS})


def test_arrays_come_back():
    x, y = np.random.default_rng(0).normal(size=[5, 2]).astype("float32"), np.arange(5)
    found = prepare(arrays(x, y)).splits["validation"]
    np.testing.assert_array_equal(found.array("x"), x, strict=True)
    np.testing.assert_array_equal(found.array("y"), y, strict=True)
    assert list(found.ids) == ["0", "1", "2", "3", "4"]


def test_other_values_types_and_shapes_are_other_data():
    x, y = np.zeros([4, 2], "int64"), np.arange(4)
    others = [(x + 1, y), (x.astype("uint8"), y), (x.view("float64"), y), (x.reshape(4, 1, 2), y), (x, y[::-1])]
    assert len({prepare(arrays(*columns)).folder for columns in [(x, y), *others]}) == 6
    assert prepare(arrays(x, y)).folder == prepare(arrays(x.copy(), y)).folder
