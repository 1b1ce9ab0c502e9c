"""Attention that processes the keys in blocks, forward and backward, without any tensor `[B,N,T,S]`.

The softmax keeps a running maximum and sum (Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867). The
gradient recomputes the weights from the residual (Dao et al. 2022, https://arxiv.org/abs/2205.14135).
"""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.reference import attention_plain
from ikelos.kernels.reference.attention_pairs import MASKED_LOGIT, Queries, unpack
from ikelos.kernels.reference.shapes import size_of, sizes

# Keys per block. A few copies of the logits [B,N,T,BLOCK] of a block exist at a time. Blocks of 512 took 1.4 times the
# memory and were no faster.
BLOCK = 256


def attend(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor | None, options: Options
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the output `[B,T,N,E]` and the residual `[B,T,N]`.

    `attention_plain` computes the second derivatives, for all pairs at once.
    """
    dtype = arithmetic(query.dtype)
    # The casts are outside of the custom gradient, so that the gradient uses the output before it is rounded.
    wide = [tf.cast(x, dtype) for x in (query, key, value, bias) if x is not None]

    @tf.custom_gradient
    def forward(*inputs):
        outputs = _forward(*unpack(_constants(inputs)), options)

        def gradient(*output_grads):
            @tf.custom_gradient
            def backward(*arguments):
                constants = _constants(arguments)
                first = _backward(*unpack(constants[:-2]), options, outputs, constants[-2:])
                return first, lambda *upstream: attention_plain.second_gradients(
                    arguments[:-2], options, arguments[-2:], upstream
                )

            return backward(*inputs, *map(tf.convert_to_tensor, output_grads))

        return outputs, gradient

    output, residual = forward(*wide)
    return tf.cast(output, query.dtype), residual


def _constants(tensors):
    """Stops the gradients of tensors: inside a custom gradient, a tape would keep everything computed from them."""
    return [tf.stop_gradient(x) for x in tensors]


class _Blocks:
    """Keys, values, bias and mask, cut into `count` blocks of `size` keys each and a last block of `rest` keys."""

    def __init__(self, key, value, bias, mask):
        self.key, self.value = (tf.transpose(x, [0, 2, 1, 3]) for x in (key, value))
        self.bias, self.mask = bias, mask
        num_keys = size_of(key, 1)
        if isinstance(num_keys, int):
            self.size, self.count = BLOCK, num_keys // BLOCK
        else:
            # At least one block, even without keys, because shapes would be unknown after an empty loop.
            self.size = tf.minimum(BLOCK, num_keys)
            self.count = tf.maximum(num_keys // tf.maximum(self.size, 1), 1)
        self.rest = num_keys - self.count * self.size

    def get(self, start, size):
        """Returns key `[B,K,s,H]`, value `[B,K,s,E]`, bias, mask and positions of the `size` keys from `start` on."""
        keys = start + tf.range(size)
        begin, extent = tf.stack([0, 0, start, 0]), tf.stack([-1, -1, size, -1])
        key, value = (tf.slice(x, begin, extent) for x in (self.key, self.value))
        return key, value, _slice_keys(self.bias, start, size), _slice_keys(self.mask, start, size), keys


def _slice_keys(x, start, size):
    """Returns `size` elements of the last axis of `x` from `start` on, or its single element for all keys."""
    if x is None or x.shape[-1] == 1:
        return x
    if x.shape[-1] is None:
        length = tf.shape(x)[-1]
        start, size = tf.where(length == 1, 0, start), tf.minimum(size, length)
    return tf.slice(x, [0, 0, 0, start], [-1, -1, -1, size])


def _over_blocks(blocks: _Blocks, step, state, collected=()):
    """Calls `step` for all blocks in turn.

    Args:
        blocks: The blocks.
        step: Called with the state and the results of `blocks.get`; returns the next state and a sequence of tensors
            to collect.
        state: The first state.
        collected: The static shape of each tensor that `step` returns for a block of `blocks.size` keys.

    Returns:
        The last state, and a pair for each collected tensor: its values for the blocks of `blocks.size` keys, stacked,
        and its value for the last block, of `blocks.rest` keys. The second is None if it is known at trace time that
        `blocks.rest` is 0.
    """

    def body(i, state, arrays):
        new_state, tensors = step(state, *blocks.get(i * blocks.size, blocks.size))
        # The loop needs the static shapes of its state, some of which get lost in `step`.
        new_state = [tf.ensure_shape(new, old.shape) for new, old in zip(new_state, state, strict=True)]
        return i + 1, new_state, [array.write(i, x) for array, x in zip(arrays, tensors, strict=True)]

    arrays = [tf.TensorArray(state[0].dtype, blocks.count, element_shape=shape) for shape in collected]
    # One iteration at a time, because each holds the logits of a block.
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
    queries, blocks = Queries(query, size_of(key, 2), options), _Blocks(key, value, bias, options.mask)

    def step(state, key, value, bias, mask, keys):
        row_max, row_sum, attended = state
        logits, allowed = queries.logits(key, bias, mask, keys)
        if allowed is not None:
            logits = tf.where(allowed, logits, tf.constant(MASKED_LOGIT, dtype))
        new_row_max = tf.maximum(row_max, tf.reduce_max(logits, axis=-1, keepdims=True))
        weights = _zero_where_masked(tf.exp(logits - new_row_max), allowed)
        rescale = tf.exp(row_max - new_row_max)
        row_sum = row_sum * rescale + tf.reduce_sum(weights, axis=-1, keepdims=True)
        weights = queries.group_pairs(queries.dropout(weights, keys))
        return (new_row_max, row_sum, attended * rescale + queries.ungroup(tf.matmul(weights, value))), ()

    rows = [queries.batch, queries.heads, queries.count]
    start = [tf.fill([*rows, 1], tf.constant(MASKED_LOGIT, dtype)), tf.zeros([*rows, 1], dtype)]
    (row_max, row_sum, attended), _ = _over_blocks(blocks, step, [*start, tf.zeros([*rows, size_of(value, 3)], dtype)])
    output = tf.transpose(tf.math.divide_no_nan(attended, row_sum), [0, 2, 1, 3])
    minus_infinity = tf.constant(float("-inf"), dtype)
    residual = tf.where(tf.equal(row_sum, 0), minus_infinity, row_max + tf.math.log(row_sum))
    residual = tf.transpose(residual[..., 0], [0, 2, 1])
    if options.query_seq_lengths is not None:
        valid = tf.sequence_mask(options.query_seq_lengths, queries.count)[:, :, None]
        output *= tf.cast(valid, dtype)[..., None]
        residual = tf.where(valid, residual, minus_infinity)
    return output, residual


def _backward(query, key, value, bias, options: Options, outputs, output_grads) -> list[tf.Tensor]:
    """Returns the gradients of query, key, value and, unless it is None, bias."""
    dtype = query.dtype
    queries, blocks = Queries(query, size_of(key, 2), options), _Blocks(key, value, bias, options.mask)
    (output, residual), (output_grad, residual_grad) = outputs, output_grads
    # A query that sees no key, or lies beyond `query_seq_lengths`, has the residual -infinity and a constant output.
    valid = ~tf.math.is_inf(residual)
    output_grad = tf.where(valid[..., None], output_grad, tf.zeros([], dtype))

    def as_column(x):
        return tf.transpose(x, [0, 2, 1])[..., None]

    # The gradient of softmax is weights * (weight_grad - mean). The mean of weight_grad in a row needs no weights.
    mean = as_column(tf.where(valid, tf.reduce_sum(output_grad * output, axis=-1) - residual_grad, tf.zeros([], dtype)))
    logsumexp = as_column(tf.where(valid, residual, tf.zeros([], dtype)))
    row_valid = as_column(valid)
    grouped_output_grad = queries.group_heads(output_grad)

    def step(state, key, value, bias, mask, keys):
        logits, allowed = queries.logits(key, bias, mask, keys)
        allowed = row_valid if allowed is None else row_valid & allowed
        weights = _zero_where_masked(tf.exp(logits - logsumexp), allowed)
        weight_grad = queries.ungroup(tf.matmul(grouped_output_grad, value, transpose_b=True))
        logit_grad = weights * (queries.dropout(weight_grad, keys) - mean)
        grouped_logit_grad = queries.group_pairs(logit_grad)
        grouped_weights = queries.group_pairs(queries.dropout(weights, keys))
        key_grad = tf.matmul(grouped_logit_grad, queries.scaled, transpose_a=True)
        value_grad = tf.matmul(grouped_weights, grouped_output_grad, transpose_a=True)
        bias_grad = [] if bias is None else [_sum_to_shape(logit_grad, tf.shape(bias))]
        return [state[0] + tf.matmul(grouped_logit_grad, key)], [key_grad, value_grad, *bias_grad]

    size = tf.get_static_value(blocks.size)
    shapes = [[*x.shape[:2], size, x.shape[3]] for x in (blocks.key, blocks.value)]
    if bias is not None:
        # The last axis of a bias may be 1 for all keys, which may be unknown at trace time.
        shapes.append([*bias.shape[:3], {1: 1, None: None}.get(bias.shape[3], size)])
    (query_grad,), block_grads = _over_blocks(blocks, step, [tf.zeros_like(queries.scaled)], shapes)
    query_grad = tf.transpose(queries.ungroup(query_grad * tf.constant(options.scale, dtype)), [0, 2, 1, 3])
    gradients = [query_grad, *(_merge_blocks(*x) for x in block_grads[:2])]
    if bias is not None:
        stack, rest = block_grads[2]
        gradients.append(_merge_bias_blocks(stack, rest, bias))
    return gradients


def _zero_where_masked(weights: tf.Tensor, allowed: tf.Tensor | None) -> tf.Tensor:
    return weights if allowed is None else tf.where(allowed, weights, tf.zeros([], weights.dtype))


def _sum_to_shape(x: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Sums `x` over the axes whose size in `shape` is 1."""
    axes = tf.raw_ops.BroadcastGradientArgs(s0=shape, s1=tf.shape(x)).r0
    return tf.reshape(tf.reduce_sum(x, axes), shape)


def _merge_blocks(stack: tf.Tensor, rest: tf.Tensor | None) -> tf.Tensor:
    """Returns `[B,S,K,X]` for n blocks, stacked as `[n,B,K,s,X]`, and a last one, `[B,K,s,X]` or None."""
    count, batch, heads, size, width = sizes(stack)
    merged = tf.reshape(tf.transpose(stack, [1, 0, 3, 2, 4]), [batch, count * size, heads, width])
    return merged if rest is None else tf.concat([merged, tf.transpose(rest, [0, 2, 1, 3])], axis=1)


def _merge_bias_blocks(stack: tf.Tensor, rest: tf.Tensor | None, bias: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of `bias` for n blocks, stacked as `[n,b,h,t,s]`, and a last one, `[b,h,t,s]` or None.

    s is 1 if the bias has a single element for all keys.
    """
    shape, (count, *_, size) = sizes(bias), sizes(stack)
    # No -1 in these shapes: next to an empty axis its size would be ambiguous.
    merged = tf.reshape(tf.transpose(stack, [1, 2, 3, 0, 4]), [*shape[:3], count * size])
    merged = merged if rest is None else tf.concat([merged, rest], axis=-1)
    shared = tf.where(tf.equal(shape[3], 1), sizes(merged)[3], 1)
    return tf.reduce_sum(tf.reshape(merged, [*shape, shared]), axis=-1)
