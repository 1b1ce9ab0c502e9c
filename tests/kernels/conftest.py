"""Attention in float64 by its definition, with bounds of the errors from rounding to float32: the independent source.
And the times at which an op may learn what it gets."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

ULP = 2.0**-24  # largest relative error of one rounding to float32
MASKED_LOGIT = -1e30


@pytest.fixture(params=["eager", "traced", "shapes known late", "compiled", "compiled, shapes known late"])
def call(request):
    """Returns `call(op, inputs, attributes)`, which runs a native op on arrays, or lists of arrays, given by name."""
    when = request.param

    def run(op, inputs, attributes):
        inputs = tf.nest.map_structure(tf.constant, inputs)
        if when == "eager":
            return op(**inputs, **attributes)
        flat, late = tf.nest.flatten(inputs), when.endswith("shapes known late")

        @tf.function(
            input_signature=[tf.TensorSpec(None if late else x.shape, x.dtype) for x in flat],
            jit_compile=when.startswith("compiled"),
            autograph=False,
        )
        def traced(*flat):
            return op(**tf.nest.pack_sequence_as(inputs, flat), **attributes)

        return traced(*flat)

    return run


@pytest.fixture(scope="session")
def attention_oracle():
    """Returns the class `AttentionOracle`, whose arguments are those of `ikelos.kernels.attention`, as arrays."""
    return AttentionOracle


@dataclasses.dataclass
class AttentionOracle:
    """Output, residual and gradients, and for each a bound of the error of float32.

    The bounds take every sum of n terms to err by n roundings of the sum of its terms' sizes, whatever its order.
    """

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    bias: np.ndarray | None = None
    mask: np.ndarray | None = None
    scale: float | None = None
    is_causal: bool = False
    query_seq_lengths: np.ndarray | None = None
    key_value_seq_lengths: np.ndarray | None = None
    local_window_size: int | tuple[int, int] | None = None
    query_offset: int | np.ndarray = 0
    alibi_slopes: np.ndarray | None = None
    dropout_rate: float = 0.0
    dropout_seed: np.ndarray | None = None

    def __post_init__(self):
        self.query, self.key, self.value = (np.asarray(x, "float64") for x in (self.query, self.key, self.value))
        (batch, queries, heads, size), (keys, key_heads) = self.query.shape, self.key.shape[1:3]
        self.shape = (batch, heads, queries, keys)
        self.scale = size**-0.5 if self.scale is None else self.scale
        # A key head for each query head.
        self.head_of = np.arange(heads) // (heads // key_heads if heads else 1)
        self.keys, self.values = self.key[:, :, self.head_of], self.value[:, :, self.head_of]
        bias = np.zeros(self.shape) if self.bias is None else np.broadcast_to(self.bias, self.shape).astype("float64")
        allowed = self._allowed() & ~(bias <= MASKED_LOGIT)
        bias = np.where(allowed, bias, 0)
        logits = np.einsum("btnh,bsnh->bnts", self.query, self.keys) * self.scale + bias
        sizes = np.einsum("btnh,bsnh->bnts", abs(self.query), abs(self.keys)) * abs(self.scale) + abs(bias)
        if self.alibi_slopes is not None:
            distances = np.asarray(self.alibi_slopes, "float64")[:, None, None] * abs(self._distances())
            logits, sizes = logits - distances, sizes + abs(distances)
        self.allowed = allowed
        row_max = np.max(logits, axis=-1, keepdims=True, where=allowed, initial=-1e300)
        exponentials = np.where(allowed, np.exp(np.where(allowed, logits - row_max, 0)), 0)
        total = exponentials.sum(axis=-1, keepdims=True)
        seen = total != 0  # NaN is seen
        self.weights = np.divide(exponentials, total, out=np.zeros(self.shape), where=seen)
        with np.errstate(divide="ignore"):
            self.residual = np.where(seen, row_max + np.log(total), -np.inf)[..., 0].transpose(0, 2, 1)
        self.factors = self._dropout()
        dropped = self.weights * self.factors
        self.output = np.einsum("bnts,bsne->btne", dropped, self.values)
        # An error of a logit is one of its weight, relative, and so is one of the sum that divides it.
        largest = np.max(sizes, axis=-1, where=allowed, initial=0)
        self.logit_error = ULP * (size + 6) * largest.transpose(0, 2, 1)
        weight_error = 2 * self.logit_error + ULP * (2 * keys + 16)
        self.output_bound = np.einsum("bnts,bsne->btne", dropped, abs(self.values)) * weight_error[..., None] + 1e-30
        self.residual_bound = self.logit_error + ULP * (keys + 8 + abs(np.nan_to_num(self.residual, neginf=0)))

    def _allowed(self):
        allowed = np.ones(self.shape, bool) if self.mask is None else np.broadcast_to(self.mask, self.shape)
        batch, _, queries, keys = self.shape
        if self.query_seq_lengths is not None:
            allowed = allowed & (np.arange(queries)[:, None] < np.reshape(self.query_seq_lengths, [batch, 1, 1, 1]))
        if self.key_value_seq_lengths is not None:
            allowed = allowed & (np.arange(keys) < np.reshape(self.key_value_seq_lengths, [batch, 1, 1, 1]))
        distances = self._distances()
        if self.is_causal:
            allowed = allowed & (distances >= 0)
        if self.local_window_size is not None:
            left, right = np.broadcast_to(self.local_window_size, [2])
            allowed = allowed & (distances <= left) & (distances >= -right)
        return allowed

    def _distances(self):
        batch, _, queries, keys = self.shape
        offsets = np.broadcast_to(np.asarray(self.query_offset, "int64"), [batch])
        return offsets[:, None, None, None] + np.arange(queries)[:, None] - np.arange(keys)

    def _dropout(self):
        """Returns the factors of the weights, by the hash of csrc/core/dropout.h in uint64, cut to 32 bits."""
        rate = float(np.float32(self.dropout_rate))
        if not rate:
            return np.ones(self.shape)
        batch, heads, queries, keys = self.shape
        zero, cut = np.uint64(0), np.uint64(0xFFFFFFFF)
        seed = np.asarray(self.dropout_seed).astype("uint32").astype("uint64")

        def mix(x, between=zero):
            x = ((x ^ x >> np.uint64(16)) * np.uint64(0x7FEB352D) & cut) ^ between
            x = (x ^ x >> np.uint64(15)) * np.uint64(0x846CA68B) & cut
            return x ^ x >> np.uint64(16)

        def count(*sizes):
            return np.arange(np.prod(sizes), dtype="uint64").reshape(sizes)

        head = mix(seed[0] + np.uint64(0x9E3779B9) * (count(batch, heads, 1, 1) + np.uint64(1)) & cut)
        row = mix(head ^ (np.uint64(0x85EBCA6B) * (count(queries, 1) + np.uint64(1)) & cut))
        bits = mix(row + count(keys) & cut, mix(row ^ seed[1]))
        return (bits >> np.uint64(8) >= int(rate * 2**24 + 0.5)) / (1 - rate)

    def gradients(self, output_grad, residual_grad):
        """Returns the gradients of query, key, value and, if there is one, bias; and their bounds."""
        output_grad, residual_grad = np.asarray(output_grad, "float64"), np.asarray(residual_grad, "float64")
        key_heads = self.key.shape[2]
        residual_column = residual_grad.transpose(0, 2, 1)[..., None]
        weight_grad = np.einsum("btne,bsne->bnts", output_grad, self.values) * self.factors
        mean = (self.weights * weight_grad).sum(axis=-1, keepdims=True)
        logit_grad = self.weights * (weight_grad - mean + residual_column)
        weight_grad_size = np.einsum("btne,bsne->bnts", abs(output_grad), abs(self.values)) * self.factors
        size_mean = (self.weights * weight_grad_size).sum(axis=-1, keepdims=True)
        sizes = self.weights * (weight_grad_size + size_mean + abs(residual_column))
        _, _, queries, keys = self.shape
        width = self.query.shape[3] + self.value.shape[3]
        rows = queries * max(1, self.shape[1] // max(key_heads, 1))
        error = 3 * np.max(self.logit_error, initial=0) + ULP * (2 * keys + 2 * width + rows + 24)

        def sum_over_key_heads(x):
            return np.stack([x[:, :, self.head_of == head].sum(axis=2) for head in range(key_heads)], axis=2)

        gradients, bounds = (
            [
                np.einsum("bnts,bsnh->btnh", logits, of(self.keys)) * of(self.scale),
                sum_over_key_heads(np.einsum("bnts,btnh->bsnh", logits, of(self.query)) * of(self.scale)),
                sum_over_key_heads(np.einsum("bnts,btne->bsne", self.weights * self.factors, of(output_grad))),
            ]
            for logits, of in ((logit_grad, lambda x: x), (sizes, np.abs))
        )
        if self.bias is not None:
            shape = np.shape(self.bias)
            gradients.append(_summed_to(logit_grad, shape))
            # As many additions as pairs share an element.
            shared = logit_grad.size / max(np.size(self.bias), 1)
            bounds.append(_summed_to(sizes, shape) * (1 + ULP * shared / max(error, ULP)))
        return gradients, [error * bound + 1e-30 for bound in bounds]

    @staticmethod
    def assert_within(result, right, bound, name=None):
        """Asserts that a result has the shape of `right` and differs by at most `bound`; -inf must be equal."""
        result = np.asarray(result)
        assert result.shape == right.shape, name
        infinite = np.isneginf(right)
        np.testing.assert_array_equal(np.isneginf(result), infinite, name)
        error = np.where(infinite, 0, result) - np.where(infinite, 0, right)
        assert (abs(error) <= bound).all(), f"{name}: {np.nanmax(abs(error) / bound)} times the bound"


def _summed_to(x, shape):
    padded = (1,) * (x.ndim - len(shape)) + tuple(shape)
    axes = tuple(axis for axis, size in enumerate(padded) if size == 1)
    return x.sum(axis=axes, keepdims=True).reshape(shape)
