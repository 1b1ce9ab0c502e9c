"""Scaled dot-product attention."""

import tensorflow as tf

from ikelos.kernels import attention_arguments as arguments
from ikelos.kernels import dispatch
from ikelos.kernels.arguments import lengths, number
from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.gradients import dense
from ikelos.kernels.reference import attention as reference
from ikelos.kernels.reference import attention_plain


# It has no control flow on tensors, and AutoGraph would warn of what it cannot convert.
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
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) with grouped heads (Ainslie et al.
    2023).

    `softmax(query @ key * scale + bias) @ value`. Argument names and meanings are those of
    `jax.nn.dot_product_attention`; `query_offset`, `alibi_slopes`, `dropout_rate` and `dropout_seed` are ours.
    Arithmetic is in float32 for half-precision inputs, rounded once at the end. A query without any allowed key, or
    beyond `query_seq_lengths`, gives 0, and its gradients are 0. Differentiable by `query`, `key`, `value` and `bias`,
    any number of times.

    The native kernel never makes an array of all pairs `[B,N,T,S]`, neither forward nor backward. The reference makes
    several up to 2^25 pairs (with an unknown batch size, of one row), and beyond that takes the keys in blocks. The
    second derivative, rarely needed, makes several in both.

    Ranks, heads, H and E must be known when a graph is traced; the batch size and the lengths T and S need not be.

    What stands at forbidden positions of `key` and `value` must be finite: its weight is 0, and 0 times NaN is NaN.
    What is beyond `key_value_seq_lengths` the native kernel never reads, and it may be anything; for the reference it
    must be finite too.

    Args:
        query: `[B,T,N,H]`, floating, H at least 1.
        key: `[B,S,K,H]`, where K divides N.
        value: `[B,S,K,E]`.
        bias: Added to the scaled logits, broadcastable to `[B,N,T,S]`, cast to the query's dtype. -1e30 or less, as
            -inf, forbids a pair as `mask` does; NaN does not. In float16 -inf begins at -65520: a bias of -1e9 forbids
            there, and in the other types it only makes a weight of 0 beside larger logits. Its gradient has the shape
            it was given in.
        mask: Boolean, broadcastable to `[B,N,T,S]`; False forbids a pair.
        scale: Factor of the logits; `1 / sqrt(H)` when None.
        is_causal: Query t sees keys up to `query_offset + t` (top-left aligned).
        query_seq_lengths: int `[B]`, number of valid queries of each row, within 0 and T. Out of range, where only a
            running graph knows it, is an error natively and the nearest bound in the reference.
        key_value_seq_lengths: int `[B]`, number of valid keys of each row, within 0 and S, likewise. The native kernel
            skips the rest, the reference gives it the weight 0.
        local_window_size: `(left, right)`: a query sees keys at most that far from its position `query_offset
            + t`; one integer is both sides.
        query_offset: Position of the first query among the keys, an integer or int `[B]`, within int32. Inside a graph,
            one that is not, of a wider type, is taken for the nearest that is.
        alibi_slopes: Floating `[N]`: `slope * |query_offset + t - s|` is taken from the logits (Press et al. 2022).
            They get no gradient.
        dropout_rate: Share of the softmax's weights that are set to 0, at least 0 and below 1; the others are
            divided by what is left of 1.
        dropout_seed: int `[2]`, needed with a rate above 0. It decides, with the indices of a weight, whether that is
            dropped: the same ones in the gradient, in both implementations and on every device.
        return_residual: Whether to return the residual too, which is differentiable; dropout leaves it alone.
        implementation: `"native"` (float32, bfloat16 and float16 on CPU, H and E up to 256), `"reference"` (plain
            TensorFlow), or None for the choice of the scope `ikelos.kernels.use`, and outside any for native where
            there is a kernel.

    Returns:
        `[B,T,N,E]` in the query's dtype; with `return_residual` a pair of it and the logarithm of the sum of the
        exponentials of each query's logits, `[B,T,N]`, -inf for a query without any allowed key or beyond its length,
        in float32, or float64 for float64 inputs.

    Raises:
        ValueError: If ranks, heads, sizes or dtypes do not fit, a number is out of its range, or there is no kernel
            of the implementation asked for; the message names the argument.
        ikelos.kernels.LibraryError: If native is asked for and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If shapes or lengths unknown until the graph runs are not right then.
    """
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
        output, residual = _native(query, key, value, bias, options)
    else:
        output, residual = reference.attention(query, key, value, bias, options, with_residual=return_residual)
    return (output, residual) if return_residual else output


# The op's inputs after query, key and value, in its order, each a list of one tensor or none; and its attributes.
LISTS = ("bias", "mask", "query_seq_lengths", "key_value_seq_lengths", "query_offset", "alibi_slopes", "dropout_seed")
NUMBERS = ("scale", "is_causal", "window_left", "window_right", "dropout_rate")


def _native(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor | None, options: Options
) -> tuple[tf.Tensor, tf.Tensor]:
    given = {name: bias if name == "bias" else getattr(options, name) for name in LISTS}
    return dispatch.library().ikelos_attention(
        query=query,
        key=key,
        value=value,
        **{name: [] if x is None else [x] for name, x in given.items()},
        **{name: getattr(options, name) for name in NUMBERS},
    )


def _lists_of(op) -> tuple[list[tf.Tensor], dict[str, list[tf.Tensor]], list[tf.Tensor]]:
    """An op's inputs query, key and value; those of `LISTS`; and those after them."""
    inputs, lists = list(op.inputs), {}
    first, inputs = inputs[:3], inputs[3:]
    for name in LISTS:
        count = op.get_attr(f"num_{name}")
        lists[name], inputs = inputs[:count], inputs[count:]
    return first, lists, inputs


@tf.RegisterGradient("IkelosAttention")
def _gradient(op, *output_grads):
    (query, key, value), lists, _ = _lists_of(op)
    output, residual = op.outputs
    output_grad, residual_grad = (dense(grad, x) for grad, x in zip(output_grads, op.outputs, strict=True))
    by_query, by_key, by_value, by_bias = dispatch.library().ikelos_attention_grad(
        query=query,
        key=key,
        value=value,
        **lists,
        output=output,
        residual=residual,
        output_grad=output_grad,
        residual_grad=residual_grad,
        **{name: op.get_attr(name) for name in NUMBERS},
    )
    by_lists = by_bias + [None] * (len(op.inputs) - 3 - len(by_bias))
    return [by_query, by_key, by_value, *by_lists]


@tf.RegisterGradient("IkelosAttentionGrad")
def _second_gradient(op, *upstream):
    # Second derivatives are rare (gradient penalties), so they, and all beyond, are those of the reference. It computes
    # output and residual from the query, key, value and bias, so all that flows through the op's inputs of those names
    # is in the gradients by these.
    (query, key, value), lists, (_, _, output_grad, residual_grad) = _lists_of(op)
    given = {name: x[0] for name, x in lists.items() if x and name != "bias"}
    options = Options(**{name: op.get_attr(name) for name in NUMBERS}, **given)
    inputs = [query, key, value, *lists["bias"]]
    by_first = [dense(grad, x) for grad, x in zip(upstream, inputs, strict=True)]
    gradients = attention_plain.second_gradients(inputs, options, [output_grad, residual_grad], by_first)
    rest = [None] * (len(op.inputs) - len(inputs) - 2)
    return [*gradients[: len(inputs)], *rest, *gradients[len(inputs) :]]
