import numpy as np

from ikelos.pipelines.data.description import describe


def test_lengths_and_classes_are_counted(store_of):
    words = [np.arange(n) for n in (3, 0, 1, 9)]
    store = store_of({"label": np.array([2, 0, 2, 2]), "words": words})
    assert describe(store, ("cat", "cow", "dog")) == store.facts() | {
        "lengths": {"words": {"min": 0, "median": 2.0, "max": 9, "sum": 13}},
        "classes": {"cat": 1, "cow": 0, "dog": 3},
    }


def test_without_lengths_and_classes_there_are_none(store_of):
    store = store_of({"x": np.arange(2)})
    assert describe(store, ()) == store.facts() | {"lengths": {}, "classes": {}}
