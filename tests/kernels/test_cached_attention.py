"""Attention with a cache against attention over all tokens in float64, and all the ways TensorFlow runs it."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels import KVCache, in_place

each_implementation = pytest.mark.parametrize("implementation", ["native", "reference"])
rng = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _same_numbers_whichever_tests_run():
    global rng
    rng = np.random.default_rng(7)


def normal(*shape):
    return rng.normal(size=shape).astype("float32")


def attend_in(implementation, when="eager", **options):
    """Returns `attend(query, key, value, cache, query_seq_lengths=None)`, eager, traced once or compiled."""

    def attend(query, key, value, cache, query_seq_lengths=None):
        return kernels.cached_attention(
            query, key, value, cache, query_seq_lengths=query_seq_lengths, implementation=implementation, **options
        )

    if when == "eager":
        return attend
    return tf.function(attend, jit_compile=when == "compiled", autograph=False, reduce_retracing=True)


class Text:
    """The tokens of all rows so far, which the definition attends to.

    Args:
        heads: N, K, H and E.
    """

    def __init__(self, batch, heads, dtype="float32"):
        self.batch, self.heads, self.dtype = batch, heads, dtype
        self.keys, self.values = ([np.zeros([0, heads[1], size]) for _ in range(batch)] for size in heads[2:])

    def empty_cache(self, capacity):
        _, key_heads, size, value_size = self.heads
        cache = KVCache.empty(self.batch, capacity, key_heads, size, self.dtype)
        return cache._replace(value=tf.zeros([self.batch, capacity, key_heads, value_size], self.dtype))

    def new(self, steps, counts):
        """Returns new tokens, of which the first `counts` of each row are appended and the others NaN."""
        heads, key_heads, size, value_size = self.heads
        shapes = [(heads, size), (key_heads, size), (key_heads, value_size)]
        arrays = [normal(self.batch, steps, *shape) for shape in shapes]
        for x in arrays:
            x[np.arange(steps) >= np.reshape(counts, [-1, 1])] = np.nan
        arrays = [tf.cast(x, self.dtype) for x in arrays]
        for held, x in ((self.keys, arrays[1]), (self.values, arrays[2])):
            for row, count in enumerate(counts):
                held[row] = np.concatenate([held[row], tf.cast(x[row, :count], "float64")])
        return arrays

    def reorder(self, rows):
        self.keys, self.values = ([held[row] for row in rows] for held in (self.keys, self.values))

    def check(self, oracle, query, counts, output, local_window_size=None, **options):
        """Checks the output of the last tokens, rounded to the dtype once."""
        assert (output.shape, output.dtype) == ((*query.shape[:3], self.heads[3]), self.dtype)
        output, query = (tf.cast(x, "float64").numpy() for x in (output, query))
        rounding = {"float32": 0, "bfloat16": 2.0**-8, "float16": 2.0**-11}[self.dtype]
        for row, count in enumerate(counts):
            expected = oracle(
                query[row : row + 1, :count],
                self.keys[row][None],
                self.values[row][None],
                is_causal=True,
                query_offset=len(self.keys[row]) - count,
                local_window_size=None if local_window_size is None else (local_window_size, 0),
                **options,
            )
            bound = expected.output_bound + 1.01 * rounding * abs(expected.output)
            oracle.assert_within(output[row : row + 1, :count], expected.output, bound, f"row {row}")
            np.testing.assert_array_equal(output[row, count:], 0)


# Capacity, options, and the calls: T and the valid tokens of each row, None for all. A few tokens are decoded, many are
# copied to the others or alone; capacities of windows are rings.
TEXTS = {
    "filled": (46, {}, [(3, None), (1, None), (1, None), (40, None), (1, None)]),
    "token by token": (9, {"alibi_slopes": [0.5, 0.125, 0, -0.25]}, [(1, None)] * 9),
    "unequal": (64, {"scale": -0.7}, [(40, [40, 0]), (1, None), (3, [0, 3]), (17, [2, 17]), (1, [0, 1]), (4, [0, 0])]),
    "ring": (6, {"local_window_size": 5}, [(2, None), *[(1, None)] * 13, (9, None), (40, [40, 3]), (1, None)]),
    "larger ring": (
        11,
        {"local_window_size": 4, "alibi_slopes": [0.5, 0.25, 1, 0]},
        [(30, None), (7, [2, 7]), (5, None)],
    ),
    "own token": (1, {"local_window_size": 0}, [(1, None), (1, None), (5, None)]),
}


def decode(oracle, attend, text, capacity, options, calls):
    cache = text.empty_cache(capacity)
    for steps, valid in calls:
        counts = [steps] * text.batch if valid is None else valid
        query, key, value = text.new(steps, counts)
        output, cache = attend(query, key, value, cache, None if valid is None else tf.constant(valid))
        text.check(oracle, query, counts, output, **options)
    np.testing.assert_array_equal(cache.length, [len(keys) for keys in text.keys])
    assert cache.key.dtype == cache.value.dtype == text.dtype


@pytest.mark.pairwise
@each_implementation
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("when", ["eager", "traced"])
@pytest.mark.parametrize("name", TEXTS)
def test_the_result_is_that_of_attention_over_all_tokens(name, when, dtype, implementation, attention_oracle):
    capacity, options, calls = TEXTS[name]
    decode(
        attention_oracle,
        attend_in(implementation, when, **options),
        Text(2, (4, 2, 8, 5), dtype),
        capacity,
        options,
        calls,
    )


@each_implementation
@pytest.mark.parametrize("heads", [(1, 1, 1, 1), (6, 1, 17, 33), (3, 3, 64, 7), (2, 1, 256, 256)], ids=str)
def test_sizes(heads, implementation, attention_oracle):
    calls = [(2, None), (1, None), (19, [19, 4, 0]), (1, None)]
    decode(attention_oracle, attend_in(implementation), Text(3, heads), 30, {}, calls)


@each_implementation
@pytest.mark.parametrize("window", [None, 5])
def test_rows_may_read_slots_of_others(window, implementation, attention_oracle):
    """Two groups of three rows, which advance together, as in a beam search."""
    options, capacity = {"local_window_size": window}, 40 if window is None else 6
    text = Text(6, (4, 2, 8, 8))
    cache = text.empty_cache(capacity)
    own = tf.broadcast_to(tf.range(6)[:, None], [6, capacity])
    cache, attend = cache._replace(rows=own), attend_in(implementation, "traced", **options)
    for step, steps in enumerate([3, *[1] * 9, 20, 2]):
        counts = [steps] * 3 + [min(steps, 2)] * 3
        query, key, value = text.new(steps, counts)
        all_valid = steps == 1 and step % 2
        output, cache = attend(query, key, value, cache, None if all_valid else tf.constant(counts))
        text.check(attention_oracle, query, counts, output, **options)
        rows = np.concatenate([rng.integers(0, 3, 3), 3 + rng.integers(0, 3, 3)])
        text.reorder(rows)
        cache = cache._replace(length=tf.gather(cache.length, rows), rows=tf.gather(cache.rows, rows))
    for row, held in enumerate(cache.contents()[0]):
        for position in range(max(0, len(text.keys[row]) - capacity), len(text.keys[row])):
            np.testing.assert_array_equal(held[position % capacity], text.keys[row][position].astype("float32"))


@each_implementation
def test_one_trace_for_all_sizes(implementation, attention_oracle):
    options = {"local_window_size": 5}
    new, held = tf.TensorSpec([None, None, 4, 8]), tf.TensorSpec([None, None, 2, 8])
    lengths = tf.TensorSpec([None], tf.int32)
    signature = [new, held, held, KVCache(held, held, lengths), lengths]
    attend = tf.function(attend_in(implementation, **options), input_signature=signature)
    for batch, capacity in ((2, 6), (1, 9)):
        decode(
            attention_oracle,
            attend,
            Text(batch, (4, 2, 8, 8)),
            capacity,
            options,
            [(7, [7, 2][:batch]), (1, [1] * batch)],
        )
    assert attend.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_token_of_a_number_of_rows_that_is_known_late(jit_compile):
    signature = [tf.TensorSpec([None, 1, 4, 8]), *[tf.TensorSpec([None, 1, 2, 8])] * 2, tf.TensorSpec([None, 6, 2, 8])]

    def attend(query, key, value, cache):
        length = tf.fill([tf.shape(query)[0]], 4)
        return kernels.cached_attention(query, key, value, KVCache(cache, cache, length), implementation="reference")[0]

    run = tf.function(attend, input_signature=signature, jit_compile=jit_compile)
    rows = [tf.random.stateless_normal([3, *spec.shape[1:]], [i, 1]) for i, spec in enumerate(signature)]
    expected = run(*rows)
    for row in range(3):
        np.testing.assert_allclose(run(*(x[row : row + 1] for x in rows))[0], expected[row], atol=1e-6)
    with in_place.allow_updates_in_place():
        portable = tf.function(attend, input_signature=signature)
        np.testing.assert_allclose(portable(*rows), expected, atol=1e-6)
        np.testing.assert_allclose(portable(*(x[:1] for x in rows)), expected[:1], atol=1e-6)


@pytest.mark.parametrize("name", ["unequal", pytest.param("ring", marks=pytest.mark.slow)])
def test_compiled(name, attention_oracle):
    capacity, options, calls = TEXTS[name]
    attend = attend_in("native", "compiled", **options)
    decode(attention_oracle, attend, Text(2, (4, 2, 8, 5)), capacity, options, calls[:2] + calls[-2:])


def test_the_reference_compiled(attention_oracle):
    options = {"local_window_size": 5}
    attend = attend_in("reference", "compiled", **options)
    decode(attention_oracle, attend, Text(2, (4, 2, 8, 5)), 6, options, [(9, [9, 2]), (1, None)])


@each_implementation
def test_no_new_tokens_and_no_rows(implementation):
    cache = KVCache.empty(2, 4, 2, 8)._replace(length=tf.constant([3, 0]), key=tf.constant(normal(2, 4, 2, 8)))
    for attend in (attend_in(implementation), attend_in(implementation, "traced")):
        output, new = attend(*[tf.zeros([2, 0, heads, 8]) for heads in (4, 2, 2)], cache)
        assert output.shape == (2, 0, 4, 8)
        for a, b in zip(new[:3], cache, strict=False):
            np.testing.assert_array_equal(a, b)
        output, new = attend(*[tf.zeros([0, 3, heads, 8]) for heads in (4, 2, 2)], KVCache.empty(0, 4, 2, 8))
        assert (output.shape, new.length.shape) == ((0, 3, 4, 8), (0,))


# --- the memory of the cache ----------------------------------------------------------------------------------------


def in_a_loop(tokens, implementation="native", address=None):
    """Returns the outputs `[L,B,1,N,E]` of decoding token by token in a `tf.while_loop`, the cache, and the results of
    `address` for the keys before each step.
    """
    length = tokens[0].shape[0]

    def step(i, cache, outputs, addresses):
        seen = tf.zeros([], tf.int64) if address is None else tf.py_function(address, [cache.key], tf.int64)
        with tf.control_dependencies([seen]):
            inputs = [tf.gather(x, i) for x in tokens]
        output, cache = kernels.cached_attention(*inputs, cache, implementation=implementation)
        return i + 1, cache, outputs.write(i, output), addresses.write(i, seen)

    arrays = tf.TensorArray(tf.float32, length), tf.TensorArray(tf.int64, length, element_shape=[])
    start = 0, KVCache.empty(2, 16, 2, 8), *arrays
    _, cache, outputs, addresses = tf.while_loop(lambda i, *_: i < length, step, start)
    return outputs.stack(), cache, addresses.stack()


def loop_tokens(length):
    return [tf.constant(normal(length, 2, 1, heads, 8)) for heads in (4, 2, 2)]


@each_implementation
@pytest.mark.parametrize("jit_compile", [False, True])
def test_decoding_in_a_loop(jit_compile, implementation, attention_oracle):
    tokens = loop_tokens(12)
    decode = tf.function(in_a_loop, jit_compile=jit_compile, autograph=False)
    outputs, cache, _ = decode(tokens, implementation)
    query, key, value = (x.numpy()[:, :, 0].transpose(1, 0, 2, 3) for x in tokens)
    expected = attention_oracle(query, key, value, is_causal=True)
    attention_oracle.assert_within(
        outputs.numpy()[:, :, 0].transpose(1, 0, 2, 3), expected.output, expected.output_bound
    )
    np.testing.assert_array_equal(cache.key[:, :12], key)
    np.testing.assert_array_equal(cache.value[:, :12], value)
    np.testing.assert_array_equal(cache.length, [12, 12])


def test_a_loop_updates_the_memory_of_the_cache():
    def address(x):
        return np.frombuffer(memoryview(x), "float32").__array_interface__["data"][0]

    _, _, addresses = tf.function(functools.partial(in_a_loop, address=address), autograph=False)(loop_tokens(8))
    # A copy could not be where the original is. The first step may copy a constant.
    assert len(set(addresses.numpy()[1:])) == 1


def test_a_compiled_loop_copies_no_cache():
    decode = tf.function(lambda tokens: in_a_loop(tokens), jit_compile=True, autograph=False)
    text = decode.experimental_get_compiler_ir(loop_tokens(8))(stage="optimized_hlo")
    computations = [part for part in text.split("\n\n") if 'custom_call_target="ikelos_cached_attention"' in part]
    assert len(computations) == 1
    assert "output_to_operand_aliasing" in computations[0]
    copies = [line for line in computations[0].splitlines() if "f32[2,16,2,8]" in line and " copy(" in line]
    assert not copies


@pytest.mark.parametrize("when", ["eager", "traced", "compiled"])
def test_a_cache_that_is_still_needed_stays_as_it_is(when):
    held, rows = normal(2, 8, 2, 8), np.array([[0, 1] * 4, [1, 0] * 4], "int32")
    first, second = ([tf.constant(normal(2, 3, heads, 8)) for heads in (4, 2, 2)] for _ in range(2))

    def branches(implementation, held, rows):
        # Not an argument of the function, whose memory is never written to.
        cache = KVCache(held * 2.0, held * 3.0, tf.constant([1, 2]), rows + 0)
        attend = attend_in(implementation)
        one, one_cache = attend(*first, cache)
        two, two_cache = attend(*second, cache)
        three, three_cache = attend(*first, two_cache)
        return one, two, three, cache, one_cache, two_cache, three_cache

    expected = branches("reference", tf.constant(held), tf.constant(rows))
    run = functools.partial(branches, "native")
    if when != "eager":
        run = tf.function(run, jit_compile=when == "compiled", autograph=False)
    for a, b in zip(*(tf.nest.flatten(x) for x in (run(held, rows), expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_all_inputs_may_be_one_tensor(jit_compile, attention_oracle):
    x = normal(1, 6, 2, 8)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def run(x):
        x = x * 2.0
        output, cache = kernels.cached_attention(
            x, x, x, KVCache(x, x, tf.constant([3])), local_window_size=3, implementation="native"
        )
        return output, cache.key, cache.value

    output, key, value = run(x)
    all_keys = 2 * np.concatenate([x[:, :3], x], axis=1)
    expected = attention_oracle(2 * x, all_keys, all_keys, is_causal=True, query_offset=3, local_window_size=(3, 0))
    attention_oracle.assert_within(output, expected.output, expected.output_bound)
    for new in (key, value):
        np.testing.assert_array_equal(new, 2 * x[:, [3, 4, 5, 0, 1, 2]])


def test_a_variable_is_not_written_to():
    held = tf.Variable(normal(1, 4, 2, 8))
    before = held.numpy()
    new = [tf.constant(normal(1, 2, heads, 8)) for heads in (4, 2, 2)]

    @tf.function(autograph=False)
    def run():
        return kernels.cached_attention(*new, KVCache(held, held, tf.constant([1])), implementation="native")[1].key

    np.testing.assert_array_equal(run()[:, 1:3], new[1])
    np.testing.assert_array_equal(held, before)


# --- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_rows", [False, True])
@pytest.mark.parametrize(("steps", "valid"), [(1, None), (5, None), (20, [20, 3])])
@pytest.mark.parametrize("jit_compile", [False, True])
@each_implementation
@pytest.mark.pairwise
def test_gradients_are_the_slopes(implementation, jit_compile, steps, valid, with_rows):
    """Slopes along random directions, by central differences of the reference in float64."""
    inputs = [normal(2, steps, heads, 8) for heads in (4, 2, 2)] + [normal(2, 7, 2, 8) for _ in range(2)]
    length = tf.constant([2, 11])
    rows = tf.constant([[1, 0] * 3 + [1], [0, 0, 1, 1, 0, 1, 0]]) if with_rows else ()
    valid = None if valid is None else tf.constant(valid)
    options = {"local_window_size": 6, "alibi_slopes": tf.constant([0.5, 0.25, 0.0, 1.0])}

    def results(attend, inputs):
        output, cache = attend(*inputs[:3], KVCache(*inputs[3:], length, rows), valid)
        return output, cache.key, cache.value

    attend = attend_in(implementation, **options)
    grads = [normal(*x.shape) for x in results(attend, [tf.constant(x) for x in inputs])]

    def gradients(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = results(attend, inputs)
        return tape.gradient(outputs, inputs, [tf.constant(x) for x in grads])

    found = tf.function(gradients, jit_compile=jit_compile, autograph=False)([tf.constant(x) for x in inputs])
    exact = attend_in("reference", **options)

    def loss(chosen, direction, distance):
        moved = [x + (distance * direction if i == chosen else 0) for i, x in enumerate(inputs)]
        outputs = results(exact, [tf.constant(x, tf.float64) for x in moved])
        return sum(np.sum(x.numpy() * grad) for x, grad in zip(outputs, grads, strict=True))

    for chosen, x in enumerate(inputs):
        direction = rng.normal(size=x.shape)
        slope = (loss(chosen, direction, 1e-5) - loss(chosen, direction, -1e-5)) / 2e-5
        products = found[chosen].numpy() * direction
        assert abs(products.sum() - slope) <= 100 * 2.0**-24 * abs(products).sum() + 1e-8
        assert abs(slope) > 0.01


def test_padding_gets_no_gradient_and_slots_that_are_overwritten_none_of_the_new_cache():
    inputs = [tf.constant(normal(1, 3, heads, 4)) for heads in (2, 1, 1)]
    cache = KVCache(tf.constant(normal(1, 4, 1, 4)), tf.constant(normal(1, 4, 1, 4)), tf.constant([3]))
    with tf.GradientTape() as tape:
        tape.watch([*inputs, cache.key])
        _, new = kernels.cached_attention(*inputs, cache, query_seq_lengths=[2], local_window_size=3)
        loss = tf.reduce_sum(new.key)
    key_grad, cache_grad = tape.gradient(loss, [inputs[1], cache.key])
    np.testing.assert_array_equal(key_grad[0, :, 0, 0], [1, 1, 0])
    np.testing.assert_array_equal(cache_grad[0, :, 0, 0], [0, 1, 1, 0])


# --- errors and the choice ------------------------------------------------------------------------------------------

F32 = "float32"


def arguments():
    new = {name: np.ones([2, 3, heads, 4], F32) for name, heads in (("query", 4), ("key", 2), ("value", 2))}
    return new | {"cache": KVCache.empty(2, 6, 2, 4)}


def replaced(**parts):
    return {"cache": KVCache.empty(2, 6, 2, 4)._replace(**parts)}


@each_implementation
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": np.ones([2, 3, 4], F32)}, r"`query` must have shape .* Received: query.shape=\(2, 3, 4\)"),
        ({"key": np.ones([2, 3, 2, 4])}, "Received: key.dtype=float64, query.dtype=float32"),
        (
            {x: np.ones([2, 2, 2, 4], F32) for x in ("key", "value")},
            r"`query` and `key` must have the same length, .*query.shape=\(2, 3, 4, 4\), key.shape=\(2, 2, 2, 4\)",
        ),
        ({"query": np.ones([3, 3, 4, 4], F32)}, r"`query` and `key` must have the same batch size"),
        ({"cache": (1, 2)}, r"`cache` must be an ikelos.kernels.KVCache. Received: cache=\(1, 2\)"),
        (replaced(key="no"), "`cache.key` must have the dtype of `query`. Received: cache.key.dtype=string"),
        (
            replaced(value=np.ones([2, 6, 2, 4])),
            "`cache.value` must have the dtype of `query`. Received: cache.value.dtype=float64, query.dtype=float32",
        ),
        (
            replaced(key=np.ones([2, 6, 2, 5], F32)),
            r"`cache.key` must have shape \[2, None, 2, 4\]. Received: cache.key.shape=\(2, 6, 2, 5\)",
        ),
        (replaced(value=np.ones([3, 6, 2, 4], F32)), r"Received: cache.value.shape=\(3, 6, 2, 4\)"),
        (replaced(value=np.ones([2, 6, 2], F32)), r"Received: cache.value.shape=\(2, 6, 2\)"),
        (
            replaced(value=np.ones([2, 5, 2, 4], F32)),
            r"`cache.key` and `cache.value` must have the same capacity. .*cache.value.shape=\(2, 5, 2, 4\)",
        ),
        (replaced(length=[1, 2, 3]), r"`cache.length` must be of shape .* Received: cache.length.shape=\(3,\)"),
        (replaced(length=[1.0, 2.0]), "`cache.length` must hold integers. Received: cache.length.dtype=float32"),
        (replaced(length=[-1, 0]), r"`cache.length` must be at least 0. Received: cache.length=\[-1, 0\]"),
        (
            replaced(rows=np.zeros([2, 5], "int32")),
            r"`cache.rows` must be int32 of shape \[2, 6\], or \(\). Received: cache.rows.shape=\(2, 5\)",
        ),
        (replaced(rows=np.zeros([2, 6], "int64")), "Received: .* cache.rows.dtype=int64"),
        ({"scale": float("inf")}, "`scale` must be a number that is finite in float32. Received: scale=inf"),
        ({"query_seq_lengths": [1, 4]}, r"`query_seq_lengths` must be within 0 and 3. Received: .*\[1, 4\]"),
        ({"query_seq_lengths": 3}, r"Received: query_seq_lengths.shape=\(\)"),
        (
            {"local_window_size": -1},
            "`local_window_size` must be None or an integer of at least 0. Received: local_window_size=-1",
        ),
        ({"local_window_size": (1, 0)}, r"Received: local_window_size=\(1, 0\)"),
        ({"local_window_size": True}, "Received: local_window_size=True"),
        ({"alibi_slopes": [0.5]}, r"must have shape \[4\], a slope for each head. Received: alibi_slopes.shape=\(1,\)"),
        ({"implementation": "fast"}, "implementation='fast'"),
    ],
)
def test_errors_name_the_argument(changes, message, implementation):
    with pytest.raises(ValueError, match=message):
        kernels.cached_attention(**{**arguments(), "implementation": implementation, **changes})


@each_implementation
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("length", "valid", "window"),
    [([4, 0], None, None), ([4, 4], [2, 3], 6), ([4, 0], None, 2**40), ([7, 0], [0, 0], None)],
)
def test_tokens_without_room_are_refused(length, valid, window, late, implementation):
    attend = attend_in(implementation, local_window_size=window)
    inputs = [x for name, x in arguments().items() if name != "cache"]
    lengths = [] if valid is None else [tf.constant(valid)]
    if late:
        new, held = (tf.TensorSpec([None, None, heads, 4]) for heads in (4, 2))
        numbers = tf.TensorSpec([None], tf.int32)
        signature = [new, held, held, KVCache(held, held, numbers), *[numbers] * len(lengths)]
        attend = tf.function(attend, input_signature=signature)
    cache = KVCache.empty(2, 6, 2, 4)._replace(length=tf.constant(length))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`cache` must have room for the new tokens"):
        attend(*[tf.constant(x) for x in inputs], cache, *lengths)


@pytest.mark.parametrize("name", ["key", "value", "cache.key", "cache.value", "cache.length", "query_seq_lengths"])
def test_the_reference_broadcasts_nothing_that_is_unknown_when_traced(name):
    given = arguments()
    parts = {**given, **{f"cache.{part}": x for part, x in given["cache"]._asdict().items() if part != "rows"}}
    parts |= {"query_seq_lengths": tf.constant([1, 2])}
    del parts["cache"]
    signature = [tf.TensorSpec([None, None, *x.shape[2:]] if x.ndim == 4 else [None], x.dtype) for x in parts.values()]

    @tf.function(input_signature=signature)
    def run(query, key, value, cache_key, cache_value, cache_length, query_seq_lengths):
        cache = KVCache(cache_key, cache_value, cache_length)
        return kernels.cached_attention(
            query, key, value, cache, query_seq_lengths=query_seq_lengths, implementation="reference"
        )

    run(*parts.values())
    parts[name] = parts[name][:1]
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"axis 0 of `{name}` must be B"):
        run(*parts.values())


def test_explains_which_implementation_runs():
    assert str(kernels.explain("cached_attention", shape=[1, 1, 4, 64])).startswith("native")
    assert str(kernels.explain("cached_attention", dtype="float64")).startswith("reference")
    assert str(kernels.explain("cached_attention", shape=[1, 1, 4, 512])).startswith("reference")
    inputs = [np.ones([1, 2, heads, 4]) for heads in (2, 1, 1)]
    output, _ = kernels.cached_attention(*inputs, KVCache.empty(1, 2, 1, 4, "float64"))
    np.testing.assert_allclose(output, np.ones([1, 2, 2, 4]), rtol=1e-12)
    with pytest.raises(ValueError, match="float64"):
        kernels.cached_attention(*inputs, KVCache.empty(1, 2, 1, 4, "float64"), implementation="native")
