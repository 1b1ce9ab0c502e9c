import numpy as np
import pytest

from ikelos.pipelines.evaluation import by_class


def test_means_are_of_all_and_of_each_class_there_is():
    values, labels = np.array([1.0, 2.0, 6.0, 3.0]), np.array([0, 0, 2, 0])
    figures = by_class.means("nats", values, "images", labels, ["cat", "cow", "dog"])
    assert figures == {
        "nats": 3.0,
        "standard_error": pytest.approx(values.std() / 2),
        "images": 4,
        "classes": {"cat": {"images": 3, "nats": 2.0}, "dog": {"images": 1, "nats": 6.0}},
    }


def test_without_classes_there_are_no_parts():
    assert by_class.means("nats", np.ones(3), "images", None, [])["classes"] == {}
