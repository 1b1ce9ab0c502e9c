"""Tests that `FusedMultiHeadAttention` and `FusedGroupedQueryAttention` share: they equal the stock layers."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import FusedGroupedQueryAttention, FusedMultiHeadAttention

CLASSES = {
    "multi-head": (keras.layers.MultiHeadAttention, FusedMultiHeadAttention),
    "grouped-query": (keras.layers.GroupQueryAttention, FusedGroupedQueryAttention),
}
NUM_CASES = 230  # of which the op does 200
SEED = 20

# Results of the stock layers that ours do not give, each with the reason.
EXCEPTIONS = {
    "a mask for each head beside padding": "The stock layers take the heads of an attention_mask [B,N,T,S] for its "
    "batch when they join it with a mask [B,T] or [B,S]. Ours join it as it is meant.",
    "flash_attention=True": "It is an error of the stock layers with TensorFlow. Ours run an op that is just that.",
}


def pick(rng, *values):
    return values[rng.integers(len(values))]


def normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def padding(rng, batch, steps):
    """Returns a mask `[B,T]` with padding at the end or the begin, or anywhere; perhaps all is padding."""
    lengths = rng.integers(0, steps + 1, [batch, 1])
    at_end = np.arange(steps) < lengths
    return pick(rng, at_end, at_end, at_end[:, ::-1], rng.random([batch, steps]) < 0.6)


@dataclasses.dataclass
class Case:
    """A constructor's arguments and a call's."""

    constructor: dict
    inputs: dict  # query, value and perhaps key, as arrays
    carried: dict  # their masks, by their names
    tensors: dict  # other arguments of the call that are arrays
    flags: dict  # and those that are not
    by_op: bool  # whether the op does it
    terms: int  # of the sums between the inputs and a gradient


def generate(kind, index):
    """Returns a case for `kind`, "multi-head" or "grouped-query"."""
    rng = np.random.default_rng([SEED, index])
    grouped = kind == "grouped-query"
    batch, steps, keys, features = (int(rng.integers(1, high)) for high in (4, 8, 8, 7))
    heads, size = int(rng.integers(1, 5)), int(rng.integers(1, 8))
    constructor = {
        "name": "attention",
        "dropout": pick(rng, 0.0, 0.0, 0.2, 0.5),
        "use_bias": rng.random() < 0.4,
        "sliding_window": pick(rng, None, None, None, 1, 3),
        "flash_attention": pick(rng, None, None, False),
        "kernel_regularizer": pick(rng, *[None] * 5, "l2"),
        "bias_regularizer": pick(rng, *[None] * 5, "l1"),
        "activity_regularizer": pick(rng, *[None] * 5, "l2"),
        "kernel_constraint": pick(rng, None, None, "non_neg"),
        "bias_constraint": pick(rng, None, None, "non_neg"),
        "kernel_initializer": pick(rng, "zeros", "ones"),
        "bias_initializer": pick(rng, "zeros", "ones"),
        "use_gate": rng.random() < 0.2,
        "seed": int(rng.integers(100)),
    }
    # Another axis, over which attention may be taken too.
    between = (2,) if not grouped and rng.random() < 0.06 else ()
    if grouped:
        key_heads = pick(rng, *[k for k in range(1, heads + 1) if heads % k == 0])
        constructor |= {
            "head_dim": size,
            "num_query_heads": heads,
            "num_key_value_heads": key_heads,
        }
    else:
        constructor |= {
            "num_heads": heads,
            "key_dim": size,
            "value_dim": pick(rng, None, None, 1, 5),
            "output_shape": pick(rng, None, None, 3, (2, 3)),
            "attention_axes": pick(rng, None, 2) if between else pick(rng, None, None, None, 1, (1,), [-2]),
        }
    flags = {
        "training": pick(rng, True, True, False, None),
        "use_causal_mask": rng.random() < 0.4,
        "return_attention_scores": rng.random() < 0.05,
    }
    inputs = {"query": normal(rng, batch, *between, steps, features)}
    if rng.random() < 0.6:
        keys = steps
        inputs["value"] = inputs["query"]
    else:
        # The stock layers' shapes for Keras's functional API ask grouped queries for one size of query and value.
        value_features = features if grouped else int(rng.integers(1, 7))
        inputs["value"] = normal(rng, batch, *between, keys, value_features)
    if rng.random() < 0.3:
        inputs["key"] = normal(rng, batch, *between, keys, int(rng.integers(1, 7)))

    carried, tensors = {}, {}
    if between:
        constructor["sliding_window"], flags["use_causal_mask"] = None, False
    else:
        for_heads = rng.random() < 0.08  # a mask that the stock layers cannot join with padding
        for name, x in inputs.items():
            mask = padding(rng, *x.shape[:2])
            how = None if for_heads else pick(rng, None, None, None, "carried", "given")
            if how == "carried":
                carried[name] = mask
            elif how == "given":
                tensors[f"{name}_mask"] = pick(rng, mask, mask.astype("int32"))
        if for_heads or rng.random() < 0.25:
            shape = pick(rng, (steps, keys), (batch, steps, keys), (batch, 1, keys))
            mask = rng.random((batch, heads, steps, keys) if for_heads else shape) < 0.7
            tensors["attention_mask"] = pick(rng, mask, mask.astype("int32"))
    return Case(
        constructor,
        inputs,
        carried,
        tensors,
        flags,
        by_op=not between and not flags["return_attention_scores"],
        # Of the projections, logits, values and outputs, and of the gradients by weights.
        terms=features + size + keys + heads * size + batch * (steps + keys),
    )


def built(layer_class, case, dtype):
    """Returns a layer for a case, with weights that depend only on the constructor's arguments."""
    layer = layer_class(**case.constructor, dtype=dtype)
    layer.build(*(case.inputs[name].shape for name in ("query", "value", "key") if name in case.inputs))
    rng = np.random.default_rng(SEED)
    for variable in layer.trainable_variables:
        variable.assign(normal(rng, *variable.shape) / 2)
    return layer


def drop_as_the_op(layer):
    """Makes a stock layer drop the weights that the op drops."""
    dropout = layer._dropout_layer

    def call(scores, training=False):
        if not training or dropout.rate == 0:
            return scores
        batch, heads, steps, keys = scores.shape
        each_alone = tf.broadcast_to(tf.eye(keys)[:, None], [batch, keys, 1, keys])
        weights = kernels.attention(
            tf.zeros([batch, steps, heads, 1]),
            tf.zeros([batch, keys, 1, 1]),
            each_alone,
            dropout_rate=dropout.rate,
            dropout_seed=dropout.seed_generator.next(),
            implementation="reference",
        )
        return scores * tf.cast(tf.transpose(weights, [0, 2, 1, 3]) * keys, scores.dtype)

    dropout.call = call


@dataclasses.dataclass
class Results:
    outputs: list  # and last the loss that the gradients are of
    gradients: list  # by the inputs and the weights
    masks: list  # of the outputs, and of the inputs in the end
    state: list  # variables without a gradient, in the end


def call_arguments(case, dtype):
    """Returns tensors by name, the same one for the same array, and the other arguments."""
    tensors = {id(x): tf.constant(x, dtype) for x in case.inputs.values()}
    inputs = {name: tensors[id(x)] for name, x in case.inputs.items()}
    for name, mask in case.carried.items():
        inputs[name]._keras_mask = tf.constant(mask)
    return inputs, case.tensors | case.flags


def as_float64(x):
    return None if x is None else np.asarray(x).astype("float64")


def results(layer, case, dtype):
    """Returns the results of a layer for a case."""
    inputs, more = call_arguments(case, dtype)
    start = [variable.numpy() for variable in layer.non_trainable_variables]
    sources = [*inputs.values(), *[variable.value for variable in layer.trainable_variables]]
    with tf.GradientTape() as tape:
        tape.watch(list(inputs.values()))
        outputs = tf.nest.flatten(layer(**inputs, **more))
        # Wider than half precision, because the test does not compare sums in half precision.
        wide = tf.float64 if dtype == "float64" else tf.float32
        loss = sum(tf.reduce_sum(tf.sin(tf.cast(x, wide))) for x in outputs)
        loss += sum(tf.cast(x, wide) for x in layer.losses)
    masks = [getattr(x, "_keras_mask", None) for x in [*outputs, *inputs.values()]]
    end = [variable.numpy() for variable in layer.non_trainable_variables]
    for variable, value in zip(layer.non_trainable_variables, start, strict=True):
        variable.assign(value)
    return Results(
        outputs=[as_float64(x) for x in [*outputs, loss]],
        gradients=[as_float64(x) for x in tape.gradient(loss, sources)],
        masks=[None if mask is None else np.asarray(mask) for mask in masks],
        state=end,
    )


def assert_close(actual, expected, tolerance=0.0):
    for x, y in zip(actual, expected, strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            x, y = np.asarray(x), np.asarray(y)
            assert x.shape == y.shape
            # `np.testing` would take a tenth of this file's time.
            assert (np.abs(x - y) <= tolerance).all() if tolerance else (x == y).all()


def numbers(found):
    return found.outputs + found.gradients


def may_be_blind(case):
    """Returns whether there may be queries without any key."""
    return bool(case.by_op and (case.carried or case.tensors or case.constructor["sliding_window"]))


def expected_results(stock, case, dtype):
    """Returns the expected results: those of the stock layer, with the dropout of the op."""
    if case.by_op:
        drop_as_the_op(stock)
    return results(stock, case, dtype)


def largest(found):
    return max(1.0, *(np.abs(x).max() for x in numbers(found) if x is not None))


@pytest.mark.parametrize("kind", CLASSES)
def test_what_is_generated(kind):
    cases = [generate(kind, index) for index in range(NUM_CASES)]
    ours = [case for case in cases if case.by_op]
    assert len(ours) >= 200
    assert sum(case.flags["return_attention_scores"] for case in cases) >= 5
    assert sum(bool(case.flags["training"] and case.constructor["dropout"]) for case in ours) >= 40
    for drops in (False, True):
        assert sum(may_be_blind(case) and bool(case.constructor["dropout"]) == drops for case in ours) >= 40
    assert sum(case.flags["use_causal_mask"] for case in ours) >= 40
    assert sum(np.ndim(case.tensors.get("attention_mask")) == 4 for case in ours) >= 10


@pytest.fixture
def calls(monkeypatch):
    """Returns a list of the op's arguments in each call by a layer."""
    found, op = [], kernels.attention

    def watched(*inputs, **arguments):
        if "implementation" not in arguments:  # then it is a call by a test
            found.append(arguments)
        return op(*inputs, **arguments)

    monkeypatch.setattr(kernels, "attention", watched)
    return found


def features(kind, index):
    """Returns the features of a case that could trigger a fault."""
    case = generate(kind, index)
    no_matter = ("name", "seed", "head_dim", "num_query_heads", "num_heads", "key_dim")
    of_constructor = {name: bool(value) for name, value in case.constructor.items() if name not in no_matter}
    if kind == "grouped-query":
        of_constructor["num_key_value_heads"] = (
            case.constructor["num_query_heads"] // case.constructor["num_key_value_heads"] > 1
        )
    names = ("query", "value", "key")
    masks = {name: "carried" if name in case.carried else f"{name}_mask" in case.tensors for name in names}
    return {
        "kind": kind,
        "by_op": case.by_op,
        "key": "key" in case.inputs,
        "value is query": case.inputs["value"] is case.inputs["query"],
        "attention_mask": np.ndim(case.tensors.get("attention_mask")),
        **{f"mask of {name}": mask for name, mask in masks.items()},
        **of_constructor,
        **case.flags,
    }


@pytest.mark.pairwise(features=features)
@pytest.mark.parametrize("index", range(NUM_CASES))
@pytest.mark.parametrize("kind", CLASSES)
def test_equals_the_stock_layer(kind, index, calls):
    case, (stock_class, fused_class) = generate(kind, index), CLASSES[kind]
    fused = built(fused_class, case, "float32")
    stock = built(stock_class, case, "float64" if case.by_op else "float32")

    configs = [stock.get_config(), fused.get_config(), fused_class.from_config(stock.get_config()).get_config()]
    for config in configs:
        config.pop("dtype")
    assert configs[1] == configs[2] == {**configs[0], "flash_attention": None}
    stock_class.from_config(fused.get_config())
    assert [x.path for x in fused.weights] == [x.path for x in stock.weights]

    expected = expected_results(stock, case, "float64" if case.by_op else "float32")
    # Half a last place of the largest number for each term of the sums on the way.
    tolerance = 2.0**-24 * case.terms * largest(expected) if case.by_op else 0
    for implementation in ("native", "reference"):
        calls.clear()
        with kernels.use(implementation):
            actual = results(fused, case, "float32")
        assert len(calls) == case.by_op
        assert_close(numbers(actual), numbers(expected), tolerance)
        assert_close(actual.masks + actual.state, expected.masks + expected.state)


SOME = [
    pytest.param(kind, index, marks=[pytest.mark.slow] * (index >= 5))
    for kind in CLASSES
    for index in range(15)
    if generate(kind, index).by_op
]


@pytest.mark.parametrize(("kind", "index"), SOME)
def test_half_precision_is_no_worse_than_in_the_stock_layer(kind, index):
    """At most twice its error, and for what a small case hides half a last place of the largest number."""
    case, (stock_class, fused_class) = generate(kind, index), CLASSES[kind]
    fused, stock, exact = (
        built(layer_class, case, dtype)
        for layer_class, dtype in (
            (fused_class, "mixed_bfloat16"),
            (stock_class, "mixed_bfloat16"),
            (stock_class, "float64"),
        )
    )
    exact = expected_results(exact, case, "float64")
    rough = expected_results(stock, case, "float32")
    errors = [np.abs(x - y).max() for x, y in zip(numbers(rough), numbers(exact), strict=True) if x is not None]
    for implementation in ("native", "reference"):
        with kernels.use(implementation):
            actual = results(fused, case, "float32")
        assert_close(numbers(actual), numbers(exact), 2 * max(errors) + 2.0**-9 * largest(exact))
        assert_close(actual.masks, rough.masks)


# Constructors' arguments of small layers.
SMALL = {
    "multi-head": {"num_heads": 2, "key_dim": 4},
    "grouped-query": {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2},
}
X = np.random.default_rng(SEED).normal(size=[2, 5, 6]).astype("float32")
VALID = np.arange(5) < np.array([[3], [5]])


@pytest.fixture(params=CLASSES)
def twins(request):
    """Returns `twins(**arguments)`, which returns a stock layer and ours with equal weights."""

    def make(**arguments):
        case = Case(SMALL[request.param] | arguments, {"query": X, "value": X}, {}, {}, {}, True, 0)
        return [built(layer_class, case, "float32") for layer_class in CLASSES[request.param]]

    return make


def check_a_mask_for_each_head_beside_padding(stock, fused):
    heads = stock._query_dense.kernel.shape[1]
    mask = np.random.default_rng(1).random([2, heads, 5, 5]) < 0.7
    mask[..., 0] = True
    expected = stock(X, X, attention_mask=mask & VALID[:, None, None, :])
    assert_close([fused(X, X, value_mask=VALID, attention_mask=mask)], [expected], 1e-6)
    # With three rows, which cannot pass for heads.
    with pytest.raises(tf.errors.InvalidArgumentError):
        stock(
            *[np.concatenate([x, x[:1]]) for x in (X, X)], value_mask=VALID[[0, 1, 1]], attention_mask=mask[[0, 1, 1]]
        )


def check_flash_attention(stock, fused):
    expected = stock(X, X)
    stock._flash_attention = fused._flash_attention = True
    assert_close([fused(X, X)], [expected], 1e-6)
    with pytest.raises(ValueError, match="Flash attention is not supported in tensorflow"):
        stock(X, X)


CHECKS = {
    "a mask for each head beside padding": check_a_mask_for_each_head_beside_padding,
    "flash_attention=True": check_flash_attention,
}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_the_exceptions_are_what_they_say(name, twins):
    CHECKS[name](*twins())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_no_mask_has_an_element_for_each_query_and_key(dropout, twins):
    _, fused = twins(dropout=dropout, sliding_window=40)
    steps, keys = 59, 61

    @tf.function(
        input_signature=[tf.TensorSpec([3, n, 6]) for n in (steps, keys)] + [tf.TensorSpec([3, keys], tf.bool)]
    )
    def attend(query, value, mask):
        query._keras_mask = query[..., 0] > 0
        with tf.GradientTape() as tape:
            tape.watch(query)
            outputs = fused(query, value, value_mask=mask, use_causal_mask=True, training=True)
        return tape.gradient(outputs, query)

    graph = attend.get_concrete_function().graph
    shapes = [tuple(x.shape) for op in graph.get_operations() for x in op.outputs if x.shape.rank is not None]
    assert (3, 1, 1, keys) in shapes
    assert not [shape for shape in shapes if {steps, keys} <= set(shape)]
    assert {"IkelosAttention", "IkelosAttentionGrad"} <= {op.type for op in graph.get_operations()}


# The second row is padding alone, and so are some queries of the first.
NOTHING = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize(("jit_compile", "dropout"), [(False, 0.0), (True, 0.0), (True, 0.5)])
def test_within_a_graph_of_unknown_sizes(jit_compile, dropout, twins):
    stock, fused = twins(dropout=dropout)

    @tf.function(
        jit_compile=jit_compile, input_signature=[tf.TensorSpec([None, None, 6]), tf.TensorSpec([None, None], tf.bool)]
    )
    def attend(x, mask):
        x._keras_mask = mask
        return fused(x, x, use_causal_mask=True)

    for mask in (VALID, NOTHING):
        inputs = tf.constant(X)
        inputs._keras_mask = tf.constant(mask)
        assert_close([attend(X, mask)], [stock(inputs, inputs, use_causal_mask=True)], 1e-6)


def test_a_query_without_keys_gets_the_mean_of_all_values(twins):
    """In NumPy, for the heads of one query that an explicit mask forbids everything."""
    _, fused = twins()
    kernel, output = fused._value_dense.kernel.numpy(), fused._output_dense.kernel.numpy()
    values = np.einsum("bsd,dkh->bskh", X.astype("float64"), kernel) + fused._value_dense.bias.numpy()
    means = np.repeat(values.mean(1), output.shape[0] // values.shape[2], axis=1)
    expected = np.einsum("bnh,nhd->bd", means, output) + fused._output_dense.bias.numpy()
    mask = np.ones([2, 5, 5], bool)
    mask[0, 1] = False
    assert_close([fused(X, X, attention_mask=mask)[0, 1]], [expected[0]], 1e-6)
    with_scores, _ = fused(X, X, attention_mask=mask, return_attention_scores=True)  # the exception of the stock layer
    assert np.abs(with_scores[0, 1] - expected[0]).max() > 1e-2


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_at_masked_steps_reaches_no_other(bad, implementation, twins):
    """In the stock layers it does."""
    _, fused = twins(use_gate=True)
    hole = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 1, 0]], bool)

    def outputs_and_gradients(x):
        x = tf.constant(x)
        x._keras_mask = tf.constant(hole)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = fused(x, x, key_mask=hole)[hole]
            loss = tf.reduce_sum(tf.sin(outputs))
        return [outputs, *tape.gradient(loss, [x, *(weight.value for weight in fused.trainable_variables)])]

    with kernels.use(implementation):
        clean = outputs_and_gradients(np.where(hole[..., None], X, 0))
        assert_close(outputs_and_gradients(np.where(hole[..., None], X, bad)), clean)


def overriding(base, name, calls):
    """Returns a subclass that overrides a method and records its calls."""
    method = getattr(base, name)

    def override(self, *arguments, **more):
        calls.append(name)
        return method(self, *arguments, **more)

    return type("Overriding", (base,), {name: override})


OVERRIDABLE = ["_compute_attention", "_compute_attention_mask", "_compute_causal_mask", "_masked_softmax"]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("name", OVERRIDABLE)
def test_a_method_that_a_subclass_overrides_is_called(name, kind, calls):
    found, (stock, fused) = [], CLASSES[kind]
    # Of these the stock layer's softmax is one with dropout alone.
    case = Case(SMALL[kind] | {"dropout": 0.1}, {"query": X, "value": X}, {}, {}, {}, True, 0)
    layer = built(overriding(fused, name, found), case, "float32")
    outputs = layer(X, X, value_mask=VALID, use_causal_mask=True)
    assert set(found) == {name}
    assert not calls
    assert_close([outputs], [built(stock, case, "float32")(X, X, value_mask=VALID, use_causal_mask=True)])


def test_a_method_that_an_object_overrides_is_called(twins, calls):
    stock, fused = twins()
    fused._compute_attention = lambda query, *rest, **more: (2 * query, None)
    stock._compute_attention = fused._compute_attention
    assert_close([fused(X, X)], [stock(X, X)])
    assert not calls


def test_other_methods_of_a_subclass_leave_the_op(calls):
    class Mine(FusedMultiHeadAttention):
        def call(self, query, value, **more):
            return 2 * super().call(query, value, **more)

        def _helper(self):
            return None

    case = Case(SMALL["multi-head"], {"query": X, "value": X}, {}, {}, {}, True, 0)
    assert_close([built(Mine, case, "float32")(X, X)], [2 * built(FusedMultiHeadAttention, case, "float32")(X, X)])
    assert len(calls) == 2


def test_one_mask_for_all_rows(twins):
    stock, fused = twins()
    assert_close([fused(X, X, value_mask=VALID[:1])], [stock(X, X, value_mask=VALID[:1])], 1e-6)


def test_one_step_of_a_mask_for_all(twins):
    stock, fused = twins()
    each = np.array([[True], [False]])
    assert_close([fused(X, X, key_mask=each)], [stock(X, X, key_mask=each)], 1e-6)


def test_dropout_differs_from_call_to_call_and_keeps_the_mean(twins):
    stock, fused = twins(dropout=0.5, seed=1)
    many = np.broadcast_to(X[:1], [4000, 5, 6])
    first, second = fused(many, many, training=True), fused(many, many, training=True)
    assert np.abs(first - second).max() > 0.1
    # Of 4000 draws; within five standard errors, which no more than one seed in thousands would miss.
    errors = 5 * np.std(first, axis=0) / 4000**0.5
    assert (np.abs(np.mean(first, axis=0) - stock(X[:1], X[:1])[0]) < errors).all()
    assert np.std(first, axis=0).min() > 1e-2


def test_dropout_of_everything_is_the_stock_layers(twins, calls):
    stock, fused = twins(dropout=1.0)
    assert_close([fused(X, X, training=True)], [stock(X, X, training=True)])
    assert calls == []
    assert_close([fused(X, X)], [stock(X, X)], 1e-6)
    assert len(calls) == 1


@pytest.mark.parametrize("fused_first", [False, True])
def test_weight_files_interchange(fused_first, twins, tmp_path):
    """Of whole models, whose files name their layers by the classes."""
    models = []
    for layer in reversed(twins()) if fused_first else twins():
        inputs = keras.Input([5, 6])
        layer = type(layer).from_config(layer.get_config() | {"name": None})
        models.append(keras.Model(inputs, layer(inputs, inputs)))
    models[0].save_weights(tmp_path / "model.weights.h5")
    models[1].load_weights(tmp_path / "model.weights.h5")
    assert_close([models[1](X)], [models[0](X)], 1e-6)


def test_a_model_has_the_masks_that_it_has_with_the_stock_layer(twins):
    tokens, outputs = np.array([[3, 1, 2, 0, 0], [1, 2, 2, 3, 1]]), []
    embedding = keras.layers.Embedding(4, 6, mask_zero=True)
    for layer in twins():
        inputs = keras.Input([5])
        embedded = embedding(inputs)
        joined = keras.layers.Add()([embedded, layer(embedded, embedded)])
        outputs.append(keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(joined))(tokens))
    assert_close([outputs[1]], [outputs[0]], 1e-6)
