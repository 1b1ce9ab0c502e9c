import keras
import numpy as np
import pytest

from ikelos.serving import keras_signature

X = keras.Input((2,), name="x")
DENSE = {name: keras.layers.Dense(units, name=name)(X) for units, name in enumerate(("left", "right", "third"), 1)}


class Returning(keras.Model):
    """A subclassed model with outputs in a structure."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs_of = outputs

    def call(self, inputs):
        return self.outputs_of(inputs)


def shapes(model, example=None):
    """Returns the shapes of the outputs without their batch, by name."""
    signature = keras_signature(model, example)
    arrays = signature.example_arrays()
    return {name: tuple(tensor.shape[1:]) for name, tensor in signature(**arrays).items()}


def test_an_output_never_hides_another_of_the_same_name():
    pair = keras.Input((6, 4), name="pair")
    attention = keras.layers.MultiHeadAttention(2, 3, name="attn")
    outputs, scores = attention(pair, pair, return_attention_scores=True)
    model = keras.Model(pair, [outputs, scores, keras.layers.Dense(2, name="attn_1")(outputs)])
    assert shapes(model) == {"attn_0": (6, 4), "attn_2": (2, 6, 6), "attn_1": (6, 2)}


def test_layers_with_several_outputs_count_them():
    sequence = keras.Input((5, 3), name="sequence")
    outputs, state = keras.layers.GRU(4, return_sequences=True, return_state=True, name="gru")(sequence)
    both = keras.layers.LSTM(2, return_state=True, name="gru_1")(outputs)
    expected = {"gru_0": (5, 4), "gru_1": (4,), "gru_1_0": (2,), "gru_1_1": (2,), "gru_1_2": (2,)}
    assert shapes(keras.Model(sequence, [outputs, state, *both])) == expected


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([[DENSE["left"], DENSE["right"]], DENSE["third"]], {"left": (1,), "right": (2,), "third": (3,)}),
        (
            {"o": {"u": DENSE["left"]}, "w": [DENSE["right"], DENSE["third"]]},
            {"o_u": (1,), "w_0": (2,), "w_1": (3,)},
        ),
        ([DENSE["left"], {"a": DENSE["right"]}], {"output_0": (1,), "output_1_a": (2,)}),
    ],
)
def test_outputs_in_lists_and_dicts_within_each_other(outputs, expected):
    assert shapes(keras.Model(X, outputs)) == expected


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (lambda x: [x], ["outputs"]),
        (lambda x: (x, {"a": x}), ["output_0", "output_1_a"]),
        (lambda x: ((x, x), x), ["output_0_0", "output_0_1", "output_1"]),
    ],
)
def test_outputs_of_a_subclassed_model(outputs, names):
    model = Returning(outputs)
    batch = np.ones((2, 2), np.float32)
    model(batch)
    assert list(shapes(model, batch)) == names


def test_names_that_fall_together_are_refused():
    model = keras.Model(X, {"o": {"u": DENSE["left"]}, "o_u": DENSE["right"]})
    with pytest.raises(ValueError, match=r"outputs with different names. Received: \['o_u', 'o_u'\]"):
        shapes(model)
