"""Attention over one block of keys after another, forward and backward: no tensor `[B,N,T,S]` in either.

Softmax by running maximum and sum: Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867. The gradient computes
the weights again from the residual: Dao et al. 2022, https://arxiv.org/abs/2205.14135.
"""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.reference import attention_plain
from ikelos.kernels.reference.attention_pairs import FORBIDDEN, Queries, unpacked
from ikelos.kernels.reference.shapes import sizes

# Keys in a block, of whose logits [B,N,T,BLOCK] there are a few copies at a time. 512 took 1.4 times the memory and
# were no faster.
BLOCK = 256


def attend(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor | None, options: Options
) -> tuple[tf.Tensor, tf.Tensor]:
    """The output `[B,T,N,E]` and the residual `[B,T,N]`.

    Second derivatives are those of `attention_plain`, which take its memory.
    """
    dtype = arithmetic(query.dtype)
    # Outside of what has its own gradient, which so never meets a rounded output.
    wide = [tf.cast(x, dtype) for x in (query, key, value, bias) if x is not None]

    @tf.custom_gradient
    def forward(*inputs):
        outputs = _forward(*unpacked(_constants(inputs)), options)

        def gradient(*output_grads):
            @tf.custom_gradient
            def backward(*arguments):
                constants = _constants(arguments)
                first = _backward(*unpacked(constants[:-2]), options, outputs, constants[-2:])
                return first, lambda *upstream: attention_plain.second_gradients(
                    arguments[:-2], options, arguments[-2:], upstream
                )

            return backward(*inputs, *map(tf.convert_to_tensor, output_grads))

        return outputs, gradient

    output, residual = forward(*wide)
    return tf.cast(output, query.dtype), residual


def _constants(tensors):
    """The tensors, for what has its own gradient: a tape would keep all that is computed from them."""
    return [tf.stop_gradient(x) for x in tensors]


class _Blocks:
    """The keys' side, cut along the keys: `size` in each of `count` blocks, and `rest` after them."""

    def __init__(self, key, value, bias, mask):
        self.key, self.value = (tf.transpose(x, [0, 2, 1, 3]) for x in (key, value))
        self.bias, self.mask = bias, mask
        num_keys = sizes(key)[1]
        if isinstance(num_keys, int):
            self.size, self.count = BLOCK, num_keys // BLOCK
        else:
            # Fewer keys than a block are one, and so are none at all: an empty loop could not tell its shapes.
            self.size = tf.minimum(BLOCK, num_keys)
            self.count = tf.maximum(num_keys // tf.maximum(self.size, 1), 1)
        self.rest = num_keys - self.count * self.size

    def get(self, start, size):
        """Key `[B,K,s,H]`, value `[B,K,s,E]`, bias, mask and positions of `size` keys from `start`."""
        keys = start + tf.range(size)
        key, value = (tf.slice(x, [0, 0, start, 0], [-1, -1, size, -1]) for x in (self.key, self.value))
        return key, value, _cut(self.bias, start, size), _cut(self.mask, start, size), keys


def _cut(x, start, size):
    """`size` elements from `start` of the last axis of `x`, or its one element for all keys."""
    if x is None or x.shape[-1] == 1:
        return x
    if x.shape[-1] is None:
        length = tf.shape(x)[-1]
        start, size = tf.where(length == 1, 0, start), tf.minimum(size, length)
    return tf.slice(x, [0, 0, 0, start], [-1, -1, -1, size])


def _over_blocks(blocks: _Blocks, step, state, collected=()):
    """Runs `step(state, *block)`, which gives the next state and tensors to keep, over all blocks.

    Returns the last state and, for each tensor kept, the list of those of the equal blocks, stacked, and of the rest.
    `collected` are the static shapes of the former.
    """

    def body(i, state, arrays):
        new_state, kept = step(state, *blocks.get(i * blocks.size, blocks.size))
        # Sizes that are known in part are lost on the way.
        new_state = [tf.ensure_shape(new, old.shape) for new, old in zip(new_state, state, strict=True)]
        return i + 1, new_state, [array.write(i, x) for array, x in zip(arrays, kept, strict=True)]

    arrays = [tf.TensorArray(state[0].dtype, blocks.count, element_shape=shape) for shape in collected]
    # One at a time: more would each have their logits.
    _, state, arrays = tf.while_loop(
        lambda i, *_: i < blocks.count,
        body,
        (0, list(state), arrays),
        maximum_iterations=blocks.count,
        parallel_iterations=1,
    )
    stacks, rest = [array.stack() for array in arrays], [None] * len(arrays)
    if not (isinstance(blocks.rest, int) and blocks.rest == 0):
        state, rest = step(state, *blocks.get(blocks.count * blocks.size, blocks.rest))
    return state, list(zip(stacks, rest, strict=True))


def _forward(query, key, value, bias, options: Options) -> tuple[tf.Tensor, tf.Tensor]:
    dtype = query.dtype
    queries, blocks = Queries(query, sizes(key)[2], options), _Blocks(key, value, bias, options.mask)

    def step(state, key, value, bias, mask, keys):
        highest, total, attended = state
        logits, allowed = queries.logits(key, bias, mask, keys)
        if allowed is not None:
            logits = tf.where(allowed, logits, tf.constant(FORBIDDEN, dtype))
        new_highest = tf.maximum(highest, tf.reduce_max(logits, axis=-1, keepdims=True))
        weights = _zero_where_forbidden(tf.exp(logits - new_highest), allowed)
        shrinking = tf.exp(highest - new_highest)
        total = total * shrinking + tf.reduce_sum(weights, axis=-1, keepdims=True)
        weights = queries.grouped_pairs(queries.dropped(weights, keys))
        return (new_highest, total, attended * shrinking + queries.by_head(tf.matmul(weights, value))), ()

    rows = [queries.batch, queries.heads, queries.count]
    start = [tf.fill([*rows, 1], tf.constant(FORBIDDEN, dtype)), tf.zeros([*rows, 1], dtype)]
    (highest, total, attended), _ = _over_blocks(blocks, step, [*start, tf.zeros([*rows, sizes(value)[3]], dtype)])
    output = tf.transpose(tf.math.divide_no_nan(attended, total), [0, 2, 1, 3])
    minus_infinity = tf.constant(float("-inf"), dtype)
    residual = tf.where(tf.equal(total, 0), minus_infinity, highest + tf.math.log(total))
    residual = tf.transpose(residual[..., 0], [0, 2, 1])
    if options.query_seq_lengths is not None:
        valid = tf.sequence_mask(options.query_seq_lengths, queries.count)[:, :, None]
        output *= tf.cast(valid, dtype)[..., None]
        residual = tf.where(valid, residual, minus_infinity)
    return output, residual


def _backward(query, key, value, bias, options: Options, outputs, output_grads) -> list[tf.Tensor]:
    """Gradients by query, key, value and, if it is not None, bias."""
    dtype = query.dtype
    queries, blocks = Queries(query, sizes(key)[2], options), _Blocks(key, value, bias, options.mask)
    (output, residual), (output_grad, residual_grad) = outputs, output_grads
    # A row without keys, or beyond its length, has a residual of -infinity, and its output is a constant.
    valid = ~tf.math.is_inf(residual)
    output_grad = tf.where(valid[..., None], output_grad, tf.zeros([], dtype))

    def by_row(x):
        return tf.transpose(x, [0, 2, 1])[..., None]

    # Softmax's gradient: weights * (gradient by them - the row's mean of those), of which the mean needs no weights.
    mean = by_row(tf.where(valid, tf.reduce_sum(output_grad * output, axis=-1) - residual_grad, tf.zeros([], dtype)))
    logarithm = by_row(tf.where(valid, residual, tf.zeros([], dtype)))
    row_valid = by_row(valid)
    grad = queries.grouped(output_grad)

    def step(state, key, value, bias, mask, keys):
        logits, allowed = queries.logits(key, bias, mask, keys)
        allowed = row_valid if allowed is None else row_valid & allowed
        weights = _zero_where_forbidden(tf.exp(logits - logarithm), allowed)
        by_weights = queries.dropped(queries.by_head(tf.matmul(grad, value, transpose_b=True)), keys)
        by_logits = weights * (by_weights - mean)
        grouped = queries.grouped_pairs(by_logits)
        by_value = tf.matmul(queries.grouped_pairs(queries.dropped(weights, keys)), grad, transpose_a=True)
        kept = [tf.matmul(grouped, queries.scaled, transpose_a=True), by_value]
        if bias is not None:
            kept.append(_summed_to(by_logits, tf.shape(bias)))
        return [state[0] + tf.matmul(grouped, key)], kept

    size = tf.get_static_value(blocks.size)
    shapes = [[*x.shape[:2], size, x.shape[3]] for x in (blocks.key, blocks.value)]
    if bias is not None:
        # Whether it has one element for all keys may be known only later.
        shapes.append([*bias.shape[:3], {1: 1, None: None}.get(bias.shape[3], size)])
    (by_query,), kept = _over_blocks(blocks, step, [tf.zeros_like(queries.scaled)], shapes)
    by_query = tf.transpose(queries.by_head(by_query * tf.constant(options.scale, dtype)), [0, 2, 1, 3])
    gradients = [by_query, *(_joined(*x) for x in kept[:2])]
    if bias is not None:
        stack, rest = kept[2]
        gradients.append(_joined_bias(stack, rest, bias))
    return gradients


def _zero_where_forbidden(weights: tf.Tensor, allowed: tf.Tensor | None) -> tf.Tensor:
    return weights if allowed is None else tf.where(allowed, weights, tf.zeros([], weights.dtype))


def _summed_to(x: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """`x` summed along the axes of which `shape` has only one element."""
    axes = tf.raw_ops.BroadcastGradientArgs(s0=shape, s1=tf.shape(x)).r0
    return tf.reshape(tf.reduce_sum(x, axes), shape)


def _joined(stack: tf.Tensor, rest: tf.Tensor | None) -> tf.Tensor:
    """`[B,S,K,X]` of blocks `[n,B,K,s,X]` and `[B,K,s,X]`."""
    count, batch, heads, size, width = sizes(stack)
    joined = tf.reshape(tf.transpose(stack, [1, 0, 3, 2, 4]), [batch, count * size, heads, width])
    return joined if rest is None else tf.concat([joined, tf.transpose(rest, [0, 2, 1, 3])], axis=1)


def _joined_bias(stack: tf.Tensor, rest: tf.Tensor | None, bias: tf.Tensor) -> tf.Tensor:
    """The shape of `bias` of blocks `[n,b,h,t,s]` and `[b,h,t,s]`, where s is 1 if the bias has one element for all
    keys."""
    shape, (count, *_, size) = sizes(bias), sizes(stack)
    # No -1 for an axis: beside an empty one it would be anything.
    joined = tf.reshape(tf.transpose(stack, [1, 2, 3, 0, 4]), [*shape[:3], count * size])
    joined = joined if rest is None else tf.concat([joined, rest], axis=-1)
    shared = tf.where(tf.equal(shape[3], 1), sizes(joined)[3], 1)
    return tf.reduce_sum(tf.reshape(joined, [*shape, shared]), axis=-1)
