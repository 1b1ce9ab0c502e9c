import numpy as np
import pytest

from ikelos.serving.arguments import json_data, most, require


def test_an_error_names_the_argument_and_shows_what_came():
    with pytest.raises(ValueError, match=r"^`size` must be even\. Received: size=3$"):
        require(False, "size", "even", 3)
    with pytest.raises(ValueError, match=r"^Signature 'f': `size` must be even\. Received: size='3'$"):
        require(False, "size", "even", "3", "Signature 'f'")
    require(True, "size", "even", 4)


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "64", np.float32(1), [1]])
def test_a_limit_is_a_positive_integer_or_none(value):
    with pytest.raises(ValueError, match=r"`rows` must be a positive integer or None\. Received: rows="):
        most("rows", value)
    assert most("rows", None) is None
    assert type(most("rows", np.int64(4))) is int


def test_numbers_of_numpy_become_json():
    value = {"a": np.float32(1.5), 2: (np.int64(3), np.array([True, False])), "c": [None, "text"]}
    assert json_data("value", value) == {"a": 1.5, "2": [3, [True, False]], "c": [None, "text"]}


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), {1}, b"bytes"])
def test_what_json_cannot_write_is_named(value):
    with pytest.raises(ValueError, match=r"`facts\['a'\]\[1\]` must be text, finite numbers, .* Received: facts"):
        json_data("facts", {"a": [1, value]})
