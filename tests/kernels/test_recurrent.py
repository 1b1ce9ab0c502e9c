"""Both ops in both implementations against stock Keras in float64 and against the formulas, and all the ways TensorFlow
runs them."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels

ULP = 2.0**-24  # largest relative error of one rounding to float32
GATES = {"lstm": 4, "gru": 3}
SIZES = [1, 2, 7, 17, 33, 59]
CONFIGURATIONS = 20 * len(SIZES)

each_op = pytest.mark.parametrize("op_name", GATES)
each_implementation = pytest.mark.parametrize("implementation", ["native", "reference"])


def normal(generator, *shape):
    return generator.normal(size=shape).astype("float32")


def arguments(op_name, generator, batch, steps, features, units, reset_after=True, use_bias=True, with_state=True):
    """Returns the arguments that have a gradient, by name; for a GRU, also `reset_after`."""
    columns = GATES[op_name] * units
    given = {
        "inputs": normal(generator, batch, steps, features),
        "kernel": normal(generator, features, columns) / max(features, 1) ** 0.5,
        "recurrent_kernel": normal(generator, units, columns) / units**0.5,
    }
    if use_bias:
        given["bias"] = normal(generator, *([2] if op_name == "gru" and reset_after else []), columns)
    if with_state:
        state = [normal(generator, batch, units) for _ in range(2)]
        given["initial_state"] = tuple(state) if op_name == "lstm" else state[0]
    return given if op_name == "lstm" else given | {"reset_after": reset_after}


def mask_of(generator, batch, steps):
    """Returns a random mask `[B,T]`; sometimes one row has no valid step."""
    mask = generator.random([batch, steps]) < generator.choice([0.3, 0.8])
    mask[generator.integers(batch)] &= generator.random() < 0.7
    return mask


def lengths_of(generator, batch, steps):
    return generator.choice([0, 1, steps, steps // 2, max(steps - 1, 0)], batch).astype("int32")


def valid_of(options, batch, steps):
    valid = np.ones([batch, steps], bool)
    if "sequence_lengths" in options:
        valid &= np.arange(steps) < np.asarray(options["sequence_lengths"])[:, None]
    if "mask" in options:
        valid &= np.asarray(options["mask"], bool)
    return valid


@functools.cache
def configuration(op_name, index):
    """Returns arguments and options of the op, and the tolerance of differences, relative to the largest number of an
    array or 1."""
    generator = np.random.default_rng([index, len(op_name)])
    batch, features, units = int(generator.choice([1, 2, 3, 5])), *(int(x) for x in generator.choice(SIZES, 2))
    # Long ones are slow: there is one of each size.
    steps = SIZES[index // 20] if index % 20 == 0 else int(generator.integers(1, 6))
    flags = {name: bool(generator.integers(2)) for name in ("reset_after", "use_bias", "with_state")}
    given = arguments(op_name, generator, batch, steps, features, units, **flags)
    options = {name: bool(generator.integers(2)) for name in ("go_backwards", "zero_output_for_mask")}
    kind = generator.choice(["none", "lengths", "mask", "mask of integers", "both"])
    if kind in ("lengths", "both"):
        options["sequence_lengths"] = lengths_of(generator, batch, steps)
    if kind not in ("none", "lengths"):
        mask = mask_of(generator, batch, steps)
        options["mask"] = mask.astype("int32") if kind == "mask of integers" else mask
    # A gate sums D + U products; their roundings, and those of the steps, add up as random walks do. The gates'
    # functions and the gradient's further sums are within the factor.
    return given, options, 2 * ULP * ((features + units + 16) * (steps + batch)) ** 0.5


def flat(given):
    """Returns arrays or tensors in the given order; `tf.nest` would sort those of dictionaries."""
    values = list(given.values()) if isinstance(given, dict) else given
    return [x for x in tf.nest.flatten(values) if not isinstance(x, bool)]


def loss_of(results):
    return sum(tf.reduce_sum(tf.sin(x)) for x in results)


def stock_layer(op_name, given, dtype, **options):
    """Returns Keras's layer with the given weights, which returns all results of the op."""
    layer_class = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[op_name]
    layer = layer_class(
        given["recurrent_kernel"].shape[0],
        use_bias="bias" in given,
        return_sequences=True,
        return_state=True,
        dtype=dtype,
        kernel_initializer="zeros",
        recurrent_initializer="zeros",  # The default costs more than the rest.
        **options,
        **({"reset_after": given["reset_after"]} if op_name == "gru" else {}),
    )
    layer.build(given["inputs"].shape)
    layer.set_weights([given[name] for name in ("kernel", "recurrent_kernel", "bias") if name in given])
    return layer


@functools.cache
def stock(op_name, index):
    """Returns the results of the stock layer in float64, and the gradients of a loss of all of them, in the order of
    the arguments."""
    given, options, _ = configuration(op_name, index)
    batch, steps, _ = given["inputs"].shape
    flags = {name: options[name] for name in ("go_backwards", "zero_output_for_mask")}
    layer = stock_layer(op_name, given, "float64", **flags)
    inputs = tf.constant(given["inputs"], tf.float64)
    state = [tf.constant(x, tf.float64) for x in flat([given.get("initial_state", ())])]
    masked = {"sequence_lengths", "mask"} & set(options)
    with tf.GradientTape() as tape:
        tape.watch([inputs, *state])
        mask = valid_of(options, batch, steps) if masked else None
        results = layer(inputs, initial_state=state or None, mask=mask)
        loss = loss_of(results)
    gradients = tape.gradient(loss, [inputs, *(weight.value for weight in layer.trainable_variables), *state])
    return [np.asarray(x) for x in results], [np.asarray(x) for x in gradients]


def as_tensors(given, options, dtype=None):
    """Returns arguments and options as tensors of a dtype, and those that have a gradient, in order."""
    tensors = {name: mapped(lambda x: tf.constant(x, dtype), x) for name, x in given.items()}
    options, scales = dict(options), []
    if "recurrent_dropout_mask" in options:
        options["recurrent_dropout_mask"] = tf.constant(options["recurrent_dropout_mask"], dtype)
    if "layer_norm" in options:
        norm = {name: tf.constant(x, dtype) for name, x in scales_of(options["layer_norm"]).items()}
        options["layer_norm"], scales = options["layer_norm"]._replace(**norm), list(norm.values())
    return tensors, options, flat(tensors) + scales


def mapped(function, x):
    return tf.nest.map_structure(lambda y: y if isinstance(y, bool) else function(y), x)


def ours(op_name, given, options, dtype=None):
    """Returns the results of the op, and the gradients of a loss of all of them, in the order of the arguments and for
    the scales of normalised gates."""
    tensors, options, watched = as_tensors(given, options, dtype)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        results = tf.nest.flatten(getattr(kernels, op_name)(**tensors, **options))
        loss = loss_of(results)
    return results, tape.gradient(loss, watched)


def scales_of(layer_norm):
    given = layer_norm._asdict() if layer_norm else {}
    return {name: x for name, x in given.items() if name != "epsilon" and x is not None}


def assert_close(actual, expected, tolerance):
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        b = np.asarray(b, "float64")
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max(initial=0)))


def features(op_name, index, implementation):
    """Returns the features of a configuration that could trigger a fault."""
    given, options, _ = configuration(op_name, index)
    batch, steps, features = given["inputs"].shape
    return {
        "op_name": op_name,
        "implementation": implementation,
        "save_for_gradient": index % 3 != 0,
        "batch": batch,
        "features": features,
        "units": len(given["recurrent_kernel"]),
        "long": steps > 5 and steps,
        "lengths": "sequence_lengths" in options,
        "mask": "mask" in options and options["mask"].dtype.name,
        **{name: name in given for name in ("bias", "initial_state")},
        **{name: options[name] for name in ("go_backwards", "zero_output_for_mask")},
        **({"reset_after": given["reset_after"]} if op_name == "gru" else {}),
    }


@each_op
@pytest.mark.pairwise(features=features)
@pytest.mark.parametrize("index", range(CONFIGURATIONS))
@each_implementation
def test_agrees_with_keras(op_name, index, implementation):
    given, options, tolerance = configuration(op_name, index)
    options = options | {"implementation": implementation, "save_for_gradient": index % 3 != 0}
    results, gradients = ours(op_name, given, options)
    expected, expected_gradients = stock(op_name, index)
    assert_close(results, expected, tolerance)
    assert_close(gradients, expected_gradients, 4 * tolerance)


@each_op
@pytest.mark.parametrize("index", range(3, CONFIGURATIONS, 12))
def test_float64_agrees_with_keras_to_its_own_rounding(op_name, index):
    given, options, tolerance = configuration(op_name, index)
    results, gradients = ours(op_name, given, options, "float64")
    expected, expected_gradients = stock(op_name, index)
    assert_close(results, expected, tolerance * 2.0**-29)
    assert_close(gradients, expected_gradients, 4 * tolerance * 2.0**-29)


def by_hand(
    op_name,
    inputs,
    kernel,
    recurrent_kernel,
    bias=0.0,
    initial_state=None,
    *,
    reset_after=True,
    go_backwards=False,
    zero_output_for_mask=False,
    recurrent_dropout_mask=None,
    layer_norm=None,
    **valid,
):
    """The op's results in float64, row by row and step by step, from the formulas."""
    (batch, steps, _), units, gates = inputs.shape, len(recurrent_kernel), GATES[op_name]
    outputs, finals, valid = np.zeros([batch, steps, units]), [], valid_of(valid, batch, steps)
    state = [np.zeros([batch, units])] * 2 if initial_state is None else flat(initial_state)
    before = op_name == "gru" and not reset_after
    bias, recurrent_bias = (bias, 0.0) if op_name == "lstm" or before or np.ndim(bias) < 2 else bias
    norm = layer_norm or kernels.LayerNorm(None, None)

    def sigmoid(x):
        return 1 / (1 + np.exp(-np.asarray(x, "float64")))

    def normalized(x, scale):
        return x if scale is None else (x - x.mean()) / np.sqrt(x.var() + norm.epsilon) * scale

    for row in range(batch):
        hidden, cell = (np.asarray(x[row], "float64") for x in (*state, *state)[:2])
        factors = np.ones([gates, units])
        if recurrent_dropout_mask is not None:
            factors = np.broadcast_to(recurrent_dropout_mask[row], [gates, units])
        output, parts = np.zeros(units), np.split(np.asarray(recurrent_kernel, "float64"), gates, axis=1)
        for place, t in enumerate(reversed(range(steps)) if go_backwards else range(steps)):
            if valid[row, t]:
                from_hidden = np.concatenate([(hidden * factors[g]) @ parts[g] for g in range(gates)])
                x = np.split(
                    normalized(inputs[row, t] @ np.asarray(kernel, "float64"), norm.kernel_scale) + bias, gates
                )
                h = np.split(normalized(from_hidden, norm.recurrent_scale) + recurrent_bias, gates)
                if op_name == "lstm":
                    i, f, o = (sigmoid(x[g] + h[g]) for g in (0, 1, 3))
                    cell = f * cell + i * np.tanh(x[2] + h[2])
                    offset = 0 if norm.cell_offset is None else norm.cell_offset
                    hidden = o * np.tanh(normalized(cell, norm.cell_scale) + offset)
                else:
                    z, r = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
                    from_reset = (r * hidden * factors[2]) @ parts[2] if before else r * h[2]
                    hidden = z * hidden + (1 - z) * np.tanh(x[2] + from_reset)
                output = hidden
            outputs[row, place] = output if valid[row, t] or not zero_output_for_mask else 0
        finals.append([hidden, cell] if op_name == "lstm" else [hidden])
    return [outputs, *(np.stack(x) for x in zip(*finals, strict=True))]


def directions(x):
    """Returns three random directions of length 1; a wrong gradient is unlikely to be right in all of them."""
    found = np.random.default_rng(x.size).normal(size=[3, *x.shape])
    return found / np.sqrt((found**2).sum(axis=tuple(range(1, found.ndim)), keepdims=True))


def numeric_gradients(op_name, given, options):
    """Returns the gradients of `ours` in `directions`, by central differences of the formulas."""
    wide = {name: mapped(lambda x: x.astype("float64"), x) for name, x in given.items()}
    norm = options.get("layer_norm")
    norm = norm and norm._replace(**{name: x.astype("float64") for name, x in scales_of(norm).items()})

    def loss():
        return sum(np.sin(x).sum() for x in by_hand(op_name, **wide, **options | {"layer_norm": norm}))

    def derivative(x, direction, step=1e-5):
        right = x.copy()
        x += step * direction
        above = loss()
        x[...] = right - step * direction
        below = loss()
        x[...] = right
        return (above - below) / (2 * step)

    arrays = [*flat(wide), *scales_of(norm).values()]
    return [np.array([derivative(x, direction) for direction in directions(x)]) for x in arrays]


def layer_norm_of(op_name, generator, units, epsilon):
    scales = {"kernel_scale": GATES[op_name] * units, "recurrent_scale": GATES[op_name] * units}
    scales |= {"cell_scale": units, "cell_offset": units} if op_name == "lstm" else {}
    return kernels.LayerNorm(
        **{name: 1 + normal(generator, size) / 4 for name, size in scales.items()}, epsilon=epsilon
    )


CASES = {
    "plain": {},
    "lengths": {"sequence_lengths": [4, 0, 2]},
    "mask": {"mask": [[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]]},
    "backwards": {"mask": [[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], "go_backwards": True},
    "zeros": {"sequence_lengths": [4, 0, 2], "go_backwards": True, "zero_output_for_mask": True},
    "dropout": {"recurrent_dropout_mask": "per gate", "sequence_lengths": [3, 4, 1]},
    "one dropout": {"recurrent_dropout_mask": "for all", "go_backwards": True},
    "norm": {"layer_norm": 1e-3, "mask": [[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]]},
    "norm, large epsilon": {"layer_norm": 0.5, "go_backwards": True},
    "norm and dropout": {"layer_norm": 0.01, "recurrent_dropout_mask": "per gate", "sequence_lengths": [4, 1, 3]},
}


def case_of(op_name, name, reset_after=True):
    generator, options = np.random.default_rng(5), dict(CASES[name])
    given = arguments(op_name, generator, batch=3, steps=4, features=3, units=5, reset_after=reset_after)
    if "recurrent_dropout_mask" in options:
        shape = [3, 5] if options["recurrent_dropout_mask"] == "for all" else [3, GATES[op_name], 5]
        options["recurrent_dropout_mask"] = (generator.random(shape) < 0.6).astype("float32") / np.float32(0.6)
    if "layer_norm" in options:
        options["layer_norm"] = layer_norm_of(op_name, generator, 5, options["layer_norm"])
    return given, options


OPS_OF_CASES = [
    (op_name, reset_after, name)
    for op_name, reset_after in (("lstm", True), ("gru", True), ("gru", False))
    for name in CASES
    if reset_after or "norm" not in name
]


@functools.cache
def expected_of(op_name, name, reset_after):
    given, options = case_of(op_name, name, reset_after)
    return by_hand(op_name, **given, **options), numeric_gradients(op_name, given, options)


@pytest.mark.parametrize(("op_name", "reset_after", "name"), OPS_OF_CASES)
@each_implementation
def test_follows_the_formulas(op_name, reset_after, name, implementation):
    given, options = case_of(op_name, name, reset_after)
    results, gradients = ours(op_name, given, options | {"implementation": implementation})
    expected, expected_gradients = expected_of(op_name, name, reset_after)
    # Some twenty products in the largest sums, four steps, and what normalising makes larger.
    assert_close(results, expected, 32 * ULP)
    in_directions = [np.sum(directions(x) * x, axis=tuple(range(1, x.ndim + 1))) for x in map(np.asarray, gradients)]
    assert_close(in_directions, expected_gradients, 64 * ULP)


def rounded(given, dtype):
    """Rounds arguments to `dtype`, so that a test measures the arithmetic and not the storage of the inputs."""
    return {name: mapped(lambda x: tf.cast(tf.cast(x, dtype), tf.float32).numpy(), x) for name, x in given.items()}


@each_op
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@each_implementation
def test_half_precision_errs_at_most_twice_as_much_as_a_naive_layer(op_name, dtype, implementation):
    given = rounded(arguments(op_name, np.random.default_rng(2), batch=4, steps=17, features=33, units=33), dtype)
    results, _ = ours(op_name, given, {"implementation": implementation}, dtype)
    state = [tf.cast(x, dtype) for x in flat([given["initial_state"]])]
    naive = stock_layer(op_name, given, dtype)(tf.cast(given["inputs"], dtype), initial_state=state)
    for x, of_naive, right in zip(results, naive, by_hand(op_name, **given), strict=True):
        assert x.dtype == dtype
        error, naive_error = (np.abs(tf.cast(y, tf.float64) - right).max() for y in (x, of_naive))
        assert error <= 2 * naive_error


@each_op
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@each_implementation
def test_gradients_of_half_precision(op_name, dtype, implementation):
    given = rounded(arguments(op_name, np.random.default_rng(3), batch=3, steps=7, features=5, units=9), dtype)
    _, gradients = ours(op_name, given, {"implementation": implementation}, dtype)
    _, expected = ours(op_name, given, {"implementation": "reference"})
    # The result, the gradient that comes, the outputs from which gates are derived and the gradient are rounded.
    tolerance = 4 * {"bfloat16": 2.0**-8, "float16": 2.0**-11}[dtype]
    for x, wide in zip(gradients, expected, strict=True):
        assert x.dtype == dtype
        np.testing.assert_allclose(tf.cast(x, tf.float32), wide, rtol=0, atol=tolerance * np.abs(wide).max())


@each_op
# XLA knows all sizes when it compiles.
@pytest.mark.parametrize(("batch", "jit_compile"), [(None, False), (2, False), (None, True)])
@each_implementation
def test_traced_with_unknown_sizes(op_name, batch, jit_compile, implementation):
    given = arguments(op_name, np.random.default_rng(4), batch=2, steps=7, features=3, units=4)
    state, lengths = flat([given["initial_state"]]), np.array([7, 5], "int32")
    signature = [tf.TensorSpec([batch, None, 3]), *[tf.TensorSpec([None, 4])] * len(state)]

    @tf.function(jit_compile=jit_compile, input_signature=[tf.TensorSpec([None], tf.int32), *signature])
    def run(lengths, inputs, *state):
        changes = {"inputs": inputs, "initial_state": state if op_name == "lstm" else state[0]}
        options = {"mask": tf.ones(tf.shape(inputs)[:2], tf.int32), "sequence_lengths": lengths}
        with tf.GradientTape() as tape:
            tape.watch([inputs, *state])
            results = tf.nest.flatten(
                getattr(kernels, op_name)(**given | changes, **options, implementation=implementation)
            )
            loss = loss_of(results)
        assert results[0].shape.as_list() == [batch, None, 4]
        return results, tape.gradient(loss, [inputs, *state])

    options = {"sequence_lengths": lengths, "implementation": "reference"}
    expected, (inputs_grad, *_, last_grad) = ours(op_name, given, options)
    results, gradients = run(lengths, given["inputs"], *state)
    assert_close(results, expected, 16 * ULP)
    assert_close([gradients[0], gradients[-1]], [inputs_grad, last_grad], 64 * ULP)
    # The same graph takes no steps too: then the states are what they were.
    results, gradients = run(np.zeros([2], "int32"), given["inputs"][:, :0], *state)
    assert results[0].shape == (2, 0, 4)
    assert gradients[0].shape == (2, 0, 3)
    for final, initial_grad, initial in zip(results[1:], gradients[1:], state, strict=True):
        np.testing.assert_array_equal(final, initial)
        np.testing.assert_allclose(initial_grad, np.cos(initial), rtol=0, atol=2 * ULP)


@each_op
@each_implementation
@pytest.mark.parametrize("empty", ["batch", "steps", "features"])
def test_empty_axes(op_name, implementation, empty):
    sizes = {"batch": 2, "steps": 3, "features": 4} | {empty: 0}
    given = arguments(op_name, np.random.default_rng(0), **sizes, units=5)
    results, gradients = ours(op_name, given, {"implementation": implementation})
    shapes = [(sizes["batch"], sizes["steps"], 5), *[(sizes["batch"], 5)] * (len(results) - 1)]
    assert [tuple(x.shape) for x in results] == shapes
    if empty != "batch":
        assert_close(results, by_hand(op_name, **given), 16 * ULP)
    for x, gradient in zip(flat(given), gradients, strict=True):
        assert gradient.shape == x.shape
        assert np.isfinite(gradient).all()


@each_op
@each_implementation
def test_a_step_at_a_time_gives_the_whole(op_name, implementation):
    given = arguments(op_name, np.random.default_rng(6), batch=3, steps=9, features=7, units=17)
    op = functools.partial(getattr(kernels, op_name), implementation=implementation)
    outputs, state = op(**given)
    streamed, inputs = given["initial_state"], given.pop("inputs")
    for t in range(9):
        output, streamed = op(inputs[:, t : t + 1], **given | {"initial_state": streamed}, save_for_gradient=False)
        assert_close([output[:, 0]], [outputs[:, t]], 16 * ULP)
    assert_close(flat([streamed]), flat([state]), 16 * ULP)


@each_op
@pytest.mark.parametrize("traced", [False, True])
def test_what_is_kept_for_the_gradient_changes_nothing(op_name, traced):
    given, options = case_of(op_name, "dropout")
    options |= {"implementation": "native"}

    def run(save):
        called = functools.partial(ours, op_name, given, options | {"save_for_gradient": save})
        return (tf.function(called, autograph=False) if traced else called)()

    kept, not_kept = run(save=True), run(save=False)
    for x, y in zip(tf.nest.flatten(kept), tf.nest.flatten(not_kept), strict=True):
        np.testing.assert_array_equal(x, y)


@each_op
def test_nothing_is_kept_where_no_gradient_is_asked_for(op_name):
    given = arguments(op_name, np.random.default_rng(0), batch=2, steps=3, features=4, units=5)
    for save in (True, False):
        op = functools.partial(getattr(kernels, op_name), save_for_gradient=save, implementation="native")
        graph = tf.function(lambda op=op: op(**given)).get_concrete_function().graph
        native = [op for op in graph.get_operations() if op.type == f"Ikelos{op_name.capitalize()}"]
        assert [op.get_attr("save_for_gradient") for op in native] == [save]


def second_gradients(op_name, given, options, *, weights, dtype):
    """Returns the gradients of a weighted sum of the first gradients, for arguments and scales of normalised gates."""
    tensors, options, watched = as_tensors(given, options, dtype)
    with tf.GradientTape() as outer:
        outer.watch(watched)
        with tf.GradientTape() as inner:
            inner.watch(watched)
            loss = loss_of(tf.nest.flatten(getattr(kernels, op_name)(**tensors, **options)))
        first = inner.gradient(loss, watched)
        penalty = sum(tf.reduce_sum(x * w) for x, w in zip(first, weights, strict=True))
    return outer.gradient(penalty, watched)


@pytest.mark.parametrize(
    ("op_name", "name"),
    [
        ("lstm", "norm and dropout"),
        pytest.param("lstm", "zeros", marks=pytest.mark.slow),
        pytest.param("gru", "norm and dropout", marks=pytest.mark.slow),
        ("gru", "backwards"),
        pytest.param("lstm", "backwards", marks=pytest.mark.slow),
        pytest.param("gru", "zeros", marks=pytest.mark.slow),
    ],
)
def test_second_gradients(op_name, name):
    given, options = case_of(op_name, name)
    generator = np.random.default_rng(8)
    norm = options.get("layer_norm")
    arrays = [*flat(given), *scales_of(norm).values()]
    weights = [normal(generator, *x.shape) for x in arrays]
    of_reference = options | {"implementation": "reference"}
    right = second_gradients(op_name, given, of_reference, weights=weights, dtype="float64")
    of_native = options | {"implementation": "native"}
    run = functools.partial(second_gradients, op_name, given, of_native, weights=weights, dtype="float32")
    assert_close(run(), right, 256 * ULP)
    assert_close(tf.function(run, autograph=False)(), right, 256 * ULP)
    # The second derivatives are symmetric: these are how the first gradients change along the weights.
    step, changed = 1e-5, []
    for sign in (1, -1):
        moved = iter([x.astype("float64") + sign * step * w for x, w in zip(arrays, weights, strict=True)])
        arguments_there = {key: mapped(lambda _, moved=moved: next(moved), x) for key, x in given.items()}
        norm_there = {"layer_norm": norm._replace(**{name: next(moved) for name in scales_of(norm)})} if norm else {}
        changed.append(ours(op_name, arguments_there, of_reference | norm_there, "float64")[1])
    numeric = [(a - b) / (2 * step) for a, b in zip(*changed, strict=True)]
    assert_close(right, numeric, 1e-6)


@each_op
@each_implementation
def test_gradients_of_each_result_add_up(op_name, implementation):
    given = arguments(op_name, np.random.default_rng(9), batch=2, steps=3, features=4, units=5)
    kernel, mask = tf.constant(given["kernel"]), tf.ones([2, GATES[op_name], 5])
    parts = []
    for result in range(3 if op_name == "lstm" else 2):
        with tf.GradientTape() as tape:
            tape.watch([kernel, mask])
            changes = {"kernel": kernel, "recurrent_dropout_mask": mask, "implementation": implementation}
            results = tf.nest.flatten(getattr(kernels, op_name)(**given | changes))
            loss = loss_of([results[result]])
        kernel_grad, mask_grad = tape.gradient(loss, [kernel, mask])
        assert mask_grad is None
        parts.append(kernel_grad)
    _, gradients = ours(op_name, given, {"implementation": implementation})
    assert_close([sum(parts)], [gradients[1]], 32 * ULP)


@each_op
def test_takes_lists(op_name):
    given = arguments(op_name, np.random.default_rng(1), batch=1, steps=2, features=2, units=1)
    lists = {name: mapped(lambda y: y.tolist(), x) for name, x in given.items()}
    outputs, _ = getattr(kernels, op_name)(**lists, mask=[[1, 0]], sequence_lengths=[2])
    expected, *_ = by_hand(op_name, **given, mask=[[True, False]])
    assert_close([outputs], [expected], 16 * ULP)


@each_op
def test_no_initial_state_is_zeros_also_where_the_batch_is_unknown(op_name):
    given = arguments(op_name, np.random.default_rng(1), batch=3, steps=2, features=2, units=4, with_state=False)
    inputs = given.pop("inputs")
    op = tf.function(
        lambda x: getattr(kernels, op_name)(x, **given), input_signature=[tf.TensorSpec([None, None, None])]
    )
    assert_close([op(inputs)[0]], by_hand(op_name, inputs, **given)[:1], 16 * ULP)


@each_op
def test_autograph_leaves_it_alone(op_name, monkeypatch):
    seen = []

    def watched(operands, options):
        seen.append(tf.__internal__.autograph.control_status_ctx().status.name)
        return [operands.inputs] * (3 if op_name == "lstm" else 2)

    monkeypatch.setattr(f"ikelos.kernels.reference.recurrent.{op_name}", watched)
    given = arguments(op_name, np.random.default_rng(1), batch=2, steps=4, features=3, units=5)
    tf.function(getattr(kernels, op_name))(**given, implementation="reference")
    assert seen == ["DISABLED"]
