"""`SelfAttention`: attention of a sequence to itself, with a cache for decoding."""

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels import KVCache
from ikelos.kernels.reference.shapes import size_of
from ikelos.layers.attention.padding import packed, padding, without_padding
from ikelos.layers.attention.projected_attention import ProjectedAttention
from ikelos.layers.position.alibi_bias import AlibiBias
from ikelos.layers.position.relative_position_bias import RelativePositionBias
from ikelos.layers.position.rotary_embedding import RotaryEmbedding
from ikelos.layers.projection import projected


@keras.saving.register_keras_serializable(package="ikelos")
class SelfAttention(ProjectedAttention):
    """Self-attention, causal or not (Vaswani et al. 2017, section 3.2.3), with grouped heads (Ainslie et al. 2023).

    Padding, given by lengths or by a mask `[B,T]`, may be NaN and never affects the outputs at real tokens. Outputs at
    padding are undefined.

    Args:
        num_heads: Number of query heads, N.
        num_key_value_heads: Number of key and value heads, K; N if None.
        is_causal: Whether a token attends only to itself and to earlier tokens.
        window: Limit of the distance: a token attends to itself, to at most `window - 1` tokens before it and, unless
            `is_causal`, to as many after it. With None there is no limit.
        position: Positions of the tokens: `"rotary"`, None for no positions, or a layer `RotaryEmbedding`, `AlibiBias`
            or `RelativePositionBias`. Several attention layers may share one position layer. They still share it in a
            model loaded from a file, but `keras.models.clone_model` makes a copy for each.
        use_bias: Whether the projections add a bias.
        kernel_initializer: Initializer of the query, key and value projections.
        output_initializer: Initializer of the output projection.

    Call arguments:
        inputs: `[B,T,D]`, D a multiple of N; with rotary positions D / N must be even.
        cache: `KVCache` of the earlier tokens, from `empty_cache` or an earlier call. With None, the inputs start at
            position 0 and no cache is returned.
        lengths: int `[B]`, number of real inputs in each row; padding is at the end.
        mask: Boolean `[B,T]`, in place of `lengths`; False marks padding, which may be anywhere and is not added to a
            `cache`. With None, the Keras mask of `inputs` is used.

    Returns:
        The outputs `[B,T,D]`; with `cache`, a pair of the outputs and the longer cache.

    Raises:
        ValueError: If a number is below 1, K does not divide N, D does not fit N, a shape is not as above, `position`
            is none of the above or has a number of heads other than N, or `cache` is given and `is_causal` is False.

    Example:

    >>> layer = SelfAttention(num_heads=2, is_causal=True)
    >>> x = keras.random.normal((1, 5, 8))
    >>> whole = layer(x)
    >>> first, cache = layer(x[:, :3], cache=layer.empty_cache(1, capacity=5))
    >>> rest, cache = layer(x[:, 3:], cache=cache)
    >>> bool(abs(keras.ops.concatenate([first, rest], axis=1) - whole).numpy().max() < 1e-5)
    True
    """

    def __init__(
        self,
        num_heads,
        num_key_value_heads=None,
        is_causal=False,
        window=None,
        position="rotary",
        use_bias=False,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(num_heads, num_key_value_heads, use_bias, kernel_initializer, output_initializer, **kwargs)
        if window is not None and window < 1:
            raise ValueError(f"`window` must be at least 1. Received: window={window}")
        self.is_causal = is_causal
        self.window = window
        self.position = self._position_layer(position)

    def _position_layer(self, position):
        if position == "rotary":
            return RotaryEmbedding(name="rotary", dtype=self.dtype_policy)
        if isinstance(position, dict):  # from `get_config`
            position = keras.saving.deserialize_keras_object(position)
        if not isinstance(position, RotaryEmbedding | AlibiBias | RelativePositionBias | None):
            raise ValueError(
                "`position` must be 'rotary', None or a layer RotaryEmbedding, AlibiBias or RelativePositionBias. "
                f"Received: position={position!r}"
            )
        if isinstance(position, AlibiBias | RelativePositionBias) and position.num_heads != self.num_heads:
            raise ValueError(
                f"`position` must be of `num_heads`={self.num_heads} heads. "
                f"Received: position.num_heads={position.num_heads}"
            )
        return position

    def build(self, input_shape):
        """Creates the projections for `[B,T,D]`."""
        self._build_projections(input_shape, input_shape)
        if isinstance(self.position, RotaryEmbedding) and self.head_size % 2:
            raise ValueError(
                f"The last axis of `inputs` must be an even multiple of `num_heads`={self.num_heads}: rotary "
                f"positions turn pairs of features. Received: inputs.shape={input_shape}"
            )
        if isinstance(self.position, RelativePositionBias) and not self.position.built:
            self.position.build((None,), (None,))

    def call(self, inputs, cache=None, lengths=None, mask=None):
        """Attends from `inputs [B,T,D]` to themselves and to the tokens in the cache."""
        lengths, mask = padding(inputs, lengths, mask)
        inputs = without_padding(inputs, lengths, mask)
        unpacked = None
        if cache is not None and mask is not None:
            # A cache has no gaps: padding goes to the end, where the next call overwrites it.
            inputs, lengths, unpacked = packed(inputs, mask)
            mask = None
        query, key, value = map(self._split, projected([self.query, self.key, self.value], inputs))
        steps = size_of(inputs, 1)
        positions = tf.range(steps) if cache is None else cache.positions(steps)
        if isinstance(self.position, RotaryEmbedding):
            query, key = self.position.rotate_both(query, key, positions)
        slopes = self.position.slopes() if isinstance(self.position, AlibiBias) else None
        if cache is None:
            options = {"query_seq_lengths": lengths, "key_value_seq_lengths": lengths, "alibi_slopes": slopes}
            return self._attend(query, key, value, mask, **options, **self._limits(positions, key))
        if not self.is_causal:
            raise ValueError(
                "`is_causal` must be True with a `cache`, because later tokens are not known yet. "
                f"Received: is_causal={self.is_causal}"
            )
        if isinstance(self.position, RelativePositionBias):
            # The op with a cache takes no bias. Causality also hides the unused positions of the cache.
            offset = cache.length
            cache = cache.append(key, value, lengths)
            key, value = cache.contents()
            outputs = self._attend(query, key, value, query_offset=offset, **self._limits(positions, key))
        else:
            attended, cache = kernels.cached_attention(
                query,
                key,
                value,
                cache,
                query_seq_lengths=lengths,
                local_window_size=None if self.window is None else self.window - 1,
                alibi_slopes=slopes,
            )
            outputs = self._joined(attended)
        return outputs if unpacked is None else unpacked(outputs), cache

    def _limits(self, positions, key):
        """Returns the options of the op that depend on the pair of a query, at `positions`, and a key."""
        options = {"is_causal": self.is_causal}
        if isinstance(self.position, RelativePositionBias):
            options["bias"] = self.position(positions, tf.range(size_of(key, 1)))
        # A window at least as long as the keys excludes nothing.
        if self.window is not None and (key.shape[1] is None or key.shape[1] > self.window):
            options["local_window_size"] = (self.window - 1, 0 if self.is_causal else self.window - 1)
        return options

    def empty_cache(self, batch_size, capacity):
        """Returns an empty `KVCache` for this layer.

        Its capacity is `capacity`, the number of tokens, but no larger than the window.

        Raises:
            ValueError: If the layer is not built, because its head size is not known before.
        """
        self._check_built("empty_cache")
        if self.window is not None and not isinstance(self.position, RelativePositionBias):
            capacity = min(capacity, self.window) if isinstance(capacity, int) else tf.minimum(capacity, self.window)
        return KVCache.empty(
            batch_size, capacity, self.num_key_value_heads, self.head_size, tf.as_dtype(self.compute_dtype)
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        # Several layers may share one position layer. Keras loads it only once if all of its configs are marked as
        # shared. It marks them from the second serialisation on, so the first result is thrown away.
        keras.saving.serialize_keras_object(self.position)
        return {
            **super().get_config(),
            "is_causal": self.is_causal,
            "window": self.window,
            "position": keras.saving.serialize_keras_object(self.position),
        }
