"""`FusedLSTM` and `FusedGRU` against the stock layers over generated configurations, natively and as the reference:
outputs, gradients, losses, masks, states, weight files and configs."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import FusedGRU, FusedLSTM

COUNT = 200
CLASSES = {"lstm": (keras.layers.LSTM, FusedLSTM), "gru": (keras.layers.GRU, FusedGRU)}
# Largest relative error of one rounding. The stock layers round to the compute dtype at each step.
ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24, "mixed_bfloat16": 2.0**-9, "mixed_float16": 2.0**-11}

# Entries that our configs have and the stock layers' do not, with the reason.
MORE_IN_CONFIGS = {
    "use_cudnn": "the stock layer loses it when it is cloned or loaded",
    "implementation": "the stock layer loses it when it is cloned or loaded",
}


def _has_other_dropout(given):
    return given["wrapper"] == "bidirectional" and given["layer"]["implementation"] == 1 and given["layer"]["dropout"]


def _is_error_of_dropout(given):
    layer = given["layer"]
    drops = layer["dropout"] and given["call"].get("training", False)
    return drops and layer["implementation"] == 1 and not layer["recurrent_dropout"] and layer["use_cudnn"] == "auto"


def _is_error_of_masks(given):
    return given["wrapper"] == "bidirectional" and given["layer"]["return_state"] and given["layer"]["stateful"]


# Which configurations are not compared, by the reason.
EXCEPTIONS = {
    "Bidirectional makes its layers from configs, and the stock ones then have implementation=2, which draws other "
    "dropout masks": _has_other_dropout,
}
# Which configurations may be errors in the stock layers, and then in ours, by the reason, and the error's type.
ERRORS = {
    "with implementation=1 the stock layer takes the gates' dropout masks for one, before it tries cuDNN": (
        _is_error_of_dropout,
        tf.errors.InvalidArgumentError,
    ),
    "Bidirectional of Keras 3.15 cannot count the masks of kept states": (_is_error_of_masks, TypeError),
}


def configuration(op_name, index):
    """Returns the arguments of the constructor and of the call, and the wrapper of the layer."""
    generator = np.random.default_rng([index, len(op_name)])
    given = _generated(op_name, generator)
    while any(excepted(given) for excepted in EXCEPTIONS.values()):
        given = _generated(op_name, generator)
    return given


def _generated(op_name, generator):
    def pick(*values):
        return values[generator.integers(len(values))]

    def normal(*shape):
        return generator.normal(size=shape).astype("float32")

    def seldom(value, otherwise):
        return value if generator.random() < 0.15 else otherwise

    wrapper = seldom("bidirectional", seldom("time distributed", None))
    alone = wrapper != "time distributed"  # That takes one result, and gives no states.
    layer = {
        "units": int(generator.integers(1, 7)),
        "activation": seldom("relu", "tanh"),
        "recurrent_activation": seldom("hard_sigmoid", "sigmoid"),
        "kernel_initializer": pick("glorot_uniform", "he_normal"),
        "recurrent_initializer": pick("orthogonal", "glorot_normal"),
        "bias_initializer": pick("zeros", "ones", "random_normal"),
        **{f"{name}_regularizer": seldom("l2", None) for name in ("kernel", "recurrent", "bias", "activity")},
        **{f"{name}_constraint": seldom("non_neg", None) for name in ("kernel", "recurrent", "bias")},
        "dropout": pick(0.0, 0.0, 0.0, 0.3),
        "recurrent_dropout": pick(0.0, 0.0, 0.0, 0.3),
        "seed": int(generator.integers(100)),
        **{name: pick(True, False) for name in ("use_bias", "return_sequences", "zero_output_for_mask")},
        "go_backwards": wrapper != "bidirectional" and pick(True, False),
        "return_state": alone and pick(True, False),
        "stateful": alone and seldom(True, False),
        "unroll": seldom(True, False),
        "use_cudnn": pick("auto", False),
        "implementation": pick(1, 2),
        "dtype": seldom(pick(*ROUNDING), "float32"),
        "trainable": seldom(False, True),
        "name": "layer",
        {"lstm": "unit_forget_bias", "gru": "reset_after"}[op_name]: pick(True, False),
    }
    batch, steps, features = (int(size) for size in generator.integers(1, 4, 3))
    outer = () if alone else (2,)
    call = pick({}, {"training": False}, {"training": True})
    mask_kind = pick("none", "random", "padded before", "padded behind")
    if mask_kind != "none":
        mask = generator.random([batch, *outer, steps]) < 0.6
        if mask_kind != "random":
            mask = np.sort(mask, axis=-1)[..., :: 1 if mask_kind == "padded before" else -1]
        call["mask"] = mask
    if alone and not layer["stateful"] and pick(True, False):
        count = {"lstm": 2, "gru": 1}[op_name] * (2 if wrapper else 1)
        call["initial_state"] = [normal(batch, layer["units"]) for _ in range(count)]
    return {
        "layer": layer,
        "wrapper": wrapper,
        "merge_mode": pick("concat", "sum", "ave", "mul"),
        "call": call,
        "inputs": normal(batch, *outer, steps, features),
    }


def wrapped(layer, given):
    around = {"name": "wrapper", "dtype": given["layer"]["dtype"]}
    if given["wrapper"] == "bidirectional":
        layer = keras.layers.Bidirectional(layer, merge_mode=given["merge_mode"], **around)
    if given["wrapper"] == "time distributed":
        layer = keras.layers.TimeDistributed(layer, **around)
    layer.build(given["inputs"].shape)
    return layer


class Holder(keras.Model):
    """A model of one layer in a list, which a weight file names by its class."""

    def __init__(self, layer):
        super().__init__()
        self.held = [layer]
        self.built = True


def seen(layer, given):
    """Returns the results of a call that a user sees, by name; of two calls for a stateful layer."""
    inputs = tf.constant(given["inputs"])
    call = {name: tf.nest.map_structure(tf.constant, x) for name, x in given["call"].items() if name != "training"}
    training = {name: x for name, x in given["call"].items() if name == "training"}
    found = {}
    with tf.GradientTape() as tape:
        watched = [inputs, *call.get("initial_state", [])]
        tape.watch(watched)
        loss = 0.0
        for time in range(2 if given["layer"]["stateful"] else 1):
            results = [tf.cast(x, tf.float64) for x in tf.nest.flatten(layer(inputs, **call, **training))]
            losses = [tf.cast(x, tf.float64) for x in layer.losses]
            found |= {f"result {i} of call {time}": x for i, x in enumerate(results)}
            found |= {f"loss {i} of call {time}": x for i, x in enumerate(losses)}
            loss += sum(tf.reduce_sum(tf.sin(x)) for x in results) + sum(losses)
    variables = layer.trainable_variables
    gradients = tape.gradient(loss, watched + [variable.value for variable in variables])
    names = ["inputs", *(f"state {i}" for i in range(len(watched) - 1)), *(variable.path for variable in variables)]
    found |= {f"gradient by {name}": x for name, x in zip(names, gradients, strict=True)}
    if given["layer"]["stateful"]:
        found |= {f"state {i} kept": x for i, x in enumerate(tf.nest.flatten(layer.states))}
    # Wrappers do the rest themselves, and Bidirectional cannot do it with states.
    if "mask" in call and not given["wrapper"]:
        found |= {f"mask {i}": x for i, x in enumerate(tf.nest.flatten(layer.compute_mask(inputs, call["mask"])))}
    return found


def assert_agree(actual, expected, given):
    batch, steps, features = given["inputs"].shape[0], *given["inputs"].shape[-2:]
    # A gate sums D + U products; their roundings, those of the steps and of two calls add up as random walks do.
    sums = (features + given["layer"]["units"] + 16) * (steps + batch) * 2
    tolerance = 4 * ROUNDING[given["layer"]["dtype"]] * sums**0.5
    assert actual.keys() == expected.keys()
    for name, right in expected.items():
        if right is None or actual[name] is None:
            assert actual[name] is right, name
            continue
        found, right = (np.asarray(keras.ops.convert_to_numpy(x), "float64") for x in (actual[name], right))
        scale = max(1.0, np.abs(right).max(initial=0.0))
        np.testing.assert_allclose(found, right, rtol=0, atol=tolerance * scale, err_msg=name)


def features(op_name, index):
    """Returns the features of a configuration that could trigger a fault."""
    given = configuration(op_name, index)
    drawn_alike = ("name", "units", "seed", "kernel_initializer", "recurrent_initializer", "bias_initializer")
    layer = {name: value for name, value in given["layer"].items() if name not in drawn_alike}
    return {
        "op_name": op_name,
        "wrapper": given["wrapper"],
        "merge_mode": given["wrapper"] == "bidirectional" and given["merge_mode"],
        "training": given["call"].get("training"),
        "mask": "mask" in given["call"],
        "initial_state": "initial_state" in given["call"],
        **layer,
    }


@pytest.mark.pairwise(features=features)
@pytest.mark.parametrize("op_name", CLASSES)
@pytest.mark.parametrize("index", range(COUNT))
def test_agrees_with_keras(op_name, index, tmp_path):
    given = configuration(op_name, index)
    stock_class, fused_class = CLASSES[op_name]
    stock = stock_class(**given["layer"])
    config = stock.get_config()
    expected_layer = wrapped(stock, given)
    Holder(expected_layer).save_weights(tmp_path / "stock.weights.h5")
    weights = expected_layer.get_weights()
    error = next((error for is_error, error in ERRORS.values() if is_error(given)), ())
    try:
        expected = seen(expected_layer, given)
        error = ()
    except error:
        pass

    for implementation in ("native", "reference"):
        more = {name: given["layer"][name] for name in MORE_IN_CONFIGS}
        if more["implementation"] == 2 and given["layer"]["recurrent_dropout"]:
            more["implementation"] = 1  # as the stock cell makes it
        fused = fused_class.from_config(config | more)
        assert fused.get_config() == config | more
        layer = wrapped(fused, given)
        if implementation == "native":
            Holder(layer).load_weights(tmp_path / "stock.weights.h5")
        else:
            layer.set_weights(weights)
        scope = implementation if implementation == "reference" or given["layer"]["dtype"] != "float64" else None
        with kernels.use(scope) if scope else contextlib.nullcontext():
            if error:
                with pytest.raises(error):
                    seen(layer, given)
                continue
            assert_agree(seen(layer, given), expected, given)
        assert layer.compute_output_shape(given["inputs"].shape) == expected_layer.compute_output_shape(
            given["inputs"].shape
        )

    Holder(layer).save_weights(tmp_path / "fused.weights.h5")
    expected_layer.set_weights([np.zeros_like(weight) for weight in weights])
    Holder(expected_layer).load_weights(tmp_path / "fused.weights.h5")
    for weight, right in zip(expected_layer.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, right)
