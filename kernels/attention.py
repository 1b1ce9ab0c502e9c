"""Scaled dot-product attention."""

import tensorflow as tf

from ikelos.kernels import attention_arguments as arguments
from ikelos.kernels import dispatch, signatures
from ikelos.kernels.arguments import lengths, number
from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.gradients import dense
from ikelos.kernels.reference import attention as reference
from ikelos.kernels.reference import attention_plain


# The function has no control flow on tensors, and AutoGraph would warn about code that it cannot convert.
@tf.autograph.experimental.do_not_convert
def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: tf.Tensor | None = None,
    key_value_seq_lengths: tf.Tensor | None = None,
    local_window_size: int | tuple[int, int] | None = None,
    query_offset: int | tf.Tensor = 0,
    alibi_slopes: tf.Tensor | None = None,
    dropout_rate: float = 0.0,
    dropout_seed: tf.Tensor | None = None,
    return_residual: bool = False,
    implementation: str | None = None,
) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
    """Computes scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) with grouped heads (Ainslie et al.
    2023).

    The result is `softmax(query @ key * scale + bias) @ value`. Argument names and meanings are those of
    `jax.nn.dot_product_attention`; `query_offset`, `alibi_slopes`, `dropout_rate` and `dropout_seed` are additions.
    Half-precision inputs are computed in float32 and rounded once at the end. A query that is masked from every key,
    or lies beyond `query_seq_lengths`, has output 0 and gradient 0. The op can be differentiated any number of times
    with respect to `query`, `key`, `value` and `bias`.

    The native kernel never allocates an array of all pairs `[B,N,T,S]`, neither forward nor backward. The reference
    allocates it for up to 2^25 pairs (counted for one row if the batch size is unknown); for more pairs it processes
    the keys in blocks. Second derivatives, which are rarely needed, allocate several such arrays in both.

    Ranks, head counts, H and E must be known at trace time; the batch size and the lengths T and S need not be.

    Masked positions of `key` and `value` must be finite, because their weight is 0, and 0 times NaN is NaN. Positions
    beyond `key_value_seq_lengths` are never read by the native kernel and may hold anything; the reference needs finite
    values there too.

    Args:
        query: `[B,T,N,H]`, floating, H at least 1.
        key: `[B,S,K,H]`, where K divides N.
        value: `[B,S,K,E]`.
        bias: Numbers added to the scaled logits, broadcastable to `[B,N,T,S]`, cast to the query's dtype. A value of
            -1e30 or less, such as -inf, masks its pair as `mask` does; NaN does not. In float16 every value below
            -65520 is -inf, so a bias of -1e9 masks there, while in other dtypes it only makes the weight underflow next
            to larger logits. The gradient has the shape of `bias` as given.
        mask: Boolean, broadcastable to `[B,N,T,S]`; False excludes a pair.
        scale: Factor of the logits; None for `1 / sqrt(H)`.
        is_causal: Whether query t sees only keys up to `query_offset + t` (top-left aligned).
        query_seq_lengths: int `[B]`, number of valid queries of each row, from 0 to T. If a length
            turns out to be out of range when the graph runs, the native kernel raises an error and the reference clips
            the length.
        key_value_seq_lengths: int `[B]`, number of valid keys of each row, from 0 to S, checked like
            `query_seq_lengths`. The native kernel skips the other keys, the reference gives them weight 0.
        local_window_size: `(left, right)`, the largest distances of a key before and after the query's position
            `query_offset + t`; one integer for both sides.
        query_offset: Position of the first query among the keys, an integer or int `[B]`, within int32. Values of wider
            dtypes that are unknown at trace time are clipped to int32.
        alibi_slopes: Floating `[N]`: `slope * |query_offset + t - s|` is subtracted from the logits (Press et al.
            2022). The slopes get no gradient.
        dropout_rate: Share of the attention weights that is set to 0, at least 0 and below 1; the others are divided
            by `1 - dropout_rate`.
        dropout_seed: int `[2]`, required if the rate is above 0. Whether a weight is dropped depends on the seed and
            the weight's indices alone, so it is the same in the gradient, in both implementations and on every device.
        return_residual: Whether to return the residual as well. The residual is differentiable and not affected by
            dropout.
        implementation: `"native"` (float32, bfloat16 and float16 on CPU, H and E up to 256), `"reference"` (plain
            TensorFlow), or None for the choice of the scope `ikelos.kernels.use`. Outside of any scope, None runs the
            native kernel if there is one.

    Returns:
        The output `[B,T,N,E]` in the query's dtype. With `return_residual`, a pair of the output and the residual
        `[B,T,N]`: the logsumexp of each query's logits, in float32, or float64 for float64 inputs. The residual is -inf
        for a query that is masked from every key or lies beyond `query_seq_lengths`.

    Raises:
        ValueError: If ranks, heads, sizes or dtypes do not match, a number is out of range, or the requested
            implementation has no kernel for these inputs; the message names the argument.
        ikelos.kernels.LibraryError: If native was requested and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If shapes or lengths that are unknown at trace time turn out to be invalid.

    Example:
        >>> query = tf.random.normal([2, 10, 8, 64])
        >>> key, value = tf.random.normal([2, 2, 16, 2, 64])  # four query heads share a key-value head
        >>> kernels.attention(query, key, value, key_value_seq_lengths=[16, 9]).shape
        TensorShape([2, 10, 8, 64])
    """
    number_offset = query_offset if type(query_offset) is int else None
    given = (
        query,
        key,
        value,
        bias,
        mask,
        query_seq_lengths,
        key_value_seq_lengths,
        query_offset if number_offset is None else None,
        alibi_slopes,
        dropout_seed,
    )
    signature = signatures.signature(
        "attention", given, (scale, is_causal, local_window_size, number_offset, dropout_rate, implementation)
    )
    results = signatures.repeat(signature, given, _native)
    if results is not None:
        return tuple(results) if return_residual else results[0]

    query, key, value = arguments.tensors(query, key, value)
    batch = query.shape[:1].merge_with(key.shape[:1]).merge_with(value.shape[:1])[0]
    num_keys = key.shape[1:2].merge_with(value.shape[1:2])[0]
    pairs = [batch, query.shape[2], query.shape[1], num_keys]
    bias = arguments.pairwise("bias", bias, pairs, query.dtype)
    rate, seed = arguments.dropout(dropout_rate, dropout_seed)
    window_left, window_right = arguments.window(local_window_size)
    options = Options(
        scale=number("scale", query.shape[3] ** -0.5 if scale is None else scale, query.dtype),
        is_causal=bool(is_causal),
        window_left=window_left,
        window_right=window_right,
        mask=arguments.pairwise("mask", mask, pairs, tf.bool),
        query_seq_lengths=lengths("query_seq_lengths", query_seq_lengths, batch, query.shape[1]),
        key_value_seq_lengths=lengths("key_value_seq_lengths", key_value_seq_lengths, batch, num_keys),
        query_offset=arguments.offset(query_offset, batch, query),
        alibi_slopes=arguments.slopes(alibi_slopes, query.shape[2]),
        dropout_rate=rate,
        dropout_seed=seed,
    )
    chosen = dispatch.choose(
        "attention",
        implementation,
        dtype=query.dtype,
        shape=query.shape,
        device=query.device,
        value_size=value.shape[3],
    )
    if chosen == "native":
        inputs = (query, key, value, bias, *(getattr(options, name) for name in OPTIONAL_INPUTS[1:]))
        attributes = tuple(getattr(options, name) for name in ATTRIBUTES)
        output, residual = _native(inputs, attributes)
        signatures.remember(signature, given, inputs, attributes)
    else:
        output, residual = reference.attention(query, key, value, bias, options, with_residual=return_residual)
    return (output, residual) if return_residual else output


# The inputs of the native op after query, key and value, in its order. Each is a list of at most one tensor.
OPTIONAL_INPUTS = (
    "bias",
    "mask",
    "query_seq_lengths",
    "key_value_seq_lengths",
    "query_offset",
    "alibi_slopes",
    "dropout_seed",
)
# The attributes of the native op, in its order.
ATTRIBUTES = ("scale", "is_causal", "window_left", "window_right", "dropout_rate")


def _native(inputs: signatures.Tensors, attributes: tuple) -> tuple[tf.Tensor, tf.Tensor]:
    optional = ([] if x is None else [x] for x in inputs[3:])
    return dispatch.library().ikelos_attention(*inputs[:3], *optional, *attributes)


def _split_inputs(op) -> tuple[list[tf.Tensor], dict[str, list[tf.Tensor]], list[tf.Tensor]]:
    """Returns an op's query, key and value; its `OPTIONAL_INPUTS` by name; and the inputs after the optional ones."""
    inputs, optional = list(op.inputs), {}
    query_key_value, inputs = inputs[:3], inputs[3:]
    for name in OPTIONAL_INPUTS:
        count = op.get_attr(f"num_{name}")
        optional[name], inputs = inputs[:count], inputs[count:]
    return query_key_value, optional, inputs


@tf.RegisterGradient("IkelosAttention")
def _gradient(op, *output_grads):
    (query, key, value), optional, _ = _split_inputs(op)
    output, residual = op.outputs
    output_grad, residual_grad = (dense(grad, x) for grad, x in zip(output_grads, op.outputs, strict=True))
    query_grad, key_grad, value_grad, bias_grad = dispatch.library().ikelos_attention_grad(
        query=query,
        key=key,
        value=value,
        **optional,
        output=output,
        residual=residual,
        output_grad=output_grad,
        residual_grad=residual_grad,
        **{name: op.get_attr(name) for name in ATTRIBUTES},
    )
    without_gradient = [None] * (len(op.inputs) - 3 - len(bias_grad))
    return [query_grad, key_grad, value_grad, *bias_grad, *without_gradient]


@tf.RegisterGradient("IkelosAttentionGrad")
def _second_gradient(op, *upstream):
    # Second derivatives are rare (gradient penalties), so the reference computes them and all higher derivatives. The
    # reference computes output and residual from query, key, value and bias, so the gradients with respect to query,
    # key, value and bias already include the paths through the op's inputs `output` and `residual`.
    (query, key, value), optional, (_, _, output_grad, residual_grad) = _split_inputs(op)
    tensors = {name: x[0] for name, x in optional.items() if x and name != "bias"}
    options = Options(**{name: op.get_attr(name) for name in ATTRIBUTES}, **tensors)
    inputs = [query, key, value, *optional["bias"]]
    dense_upstream = [dense(grad, x) for grad, x in zip(upstream, inputs, strict=True)]
    gradients = attention_plain.second_gradients(inputs, options, [output_grad, residual_grad], dense_upstream)
    without_gradient = [None] * (len(op.inputs) - len(inputs) - 2)
    return [*gradients[: len(inputs)], *without_gradient, *gradients[len(inputs) :]]
