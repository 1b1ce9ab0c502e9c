"""`CrossAttention`: attention of one sequence to another, the memory."""

import keras
import tensorflow as tf

from ikelos.kernels.reference.shapes import sizes
from ikelos.layers.attention.memory_cache import MemoryCache
from ikelos.layers.attention.padding import packed, padding, without_padding
from ikelos.layers.attention.projected_attention import ProjectedAttention


@keras.saving.register_keras_serializable(package="ikelos")
class CrossAttention(ProjectedAttention):
    """Attention of a decoder to a memory, the outputs of an encoder (Vaswani et al. 2017, section 3.2.3), with grouped
    heads (Ainslie et al. 2023).

    Args:
        num_heads: Number of query heads, N.
        num_key_value_heads: Number of key and value heads, K; N if None.
        use_bias: Whether the projections add a bias.
        kernel_initializer: Initializer of the query, key and value projections.
        output_initializer: Initializer of the output projection.

    Call arguments:
        inputs: `[B,T,D]`, D a multiple of N. Positions that the Keras mask of `inputs` marks as padding are set to 0.
        memory: `[B,S,M]`.
        cache: The result of `memory_cache`, in place of `memory`. B may be a multiple of its batch size: each row of
            the memory is then shared by as many rows of `inputs` in succession, such as the beams of a search.
        memory_lengths: int `[B]`, number of real positions of `memory` in each row; padding is at the end.
        memory_mask: Boolean `[B,S]`, in place of `memory_lengths`; False marks padding, which may be anywhere and may
            be NaN. With None, the Keras mask of `memory` is used.
        return_attention_scores: Whether to return the attention weights too, for which they are computed once more.

    Output shape: `[B,T,D]`; with `return_attention_scores=True` followed by the weights `[B,N,T,S]`.

    Raises:
        ValueError: If a number is below 1, K does not divide N, N does not divide D, a shape is not as above, B is
            known to be no multiple of the cache's batch size, not exactly one of `memory` and `cache` is given, or
            lengths or a mask are given with `cache`.

    Example:

    >>> layer = CrossAttention(num_heads=2)
    >>> x, memory = keras.random.normal((1, 3, 8)), keras.random.normal((1, 5, 6))
    >>> whole = layer(x, memory)
    >>> cache = layer.memory_cache(memory)  # projected once
    >>> bool(abs(layer(x[:, :1], cache=cache) - whole[:, :1]).numpy().max() < 1e-5)
    True
    """

    def __init__(
        self,
        num_heads,
        num_key_value_heads=None,
        use_bias=False,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        **kwargs,
    ):
        # Without this constructor the signature would show no defaults.
        super().__init__(num_heads, num_key_value_heads, use_bias, kernel_initializer, output_initializer, **kwargs)

    def build(self, inputs_shape, memory_shape):
        """Creates the projections for `[B,T,D]` and `[B,S,M]`."""
        self._build_projections(inputs_shape, memory_shape)

    def call(
        self,
        inputs,
        memory=None,
        cache=None,
        memory_lengths=None,
        memory_mask=None,
        return_attention_scores=False,
    ):
        """Attends from `inputs [B,T,D]` to `memory [B,S,M]`."""
        if (memory is None) == (cache is None):
            raise ValueError(
                f"Either `memory` or `cache` must be given. Received: {'neither' if memory is None else 'both'}"
            )
        if cache is not None and (memory_lengths is not None or memory_mask is not None):
            raise ValueError(
                "`memory_lengths` and `memory_mask` must be None with a `cache`: give them to `memory_cache`. "
                f"Received: cache and {'memory_mask' if memory_lengths is None else 'memory_lengths'}"
            )
        if cache is None:
            lengths, mask = padding(memory, memory_lengths, memory_mask, prefix="memory_")
            memory = without_padding(memory, lengths, mask)
            key, value = (self._heads(layer, memory) for layer in (self.key, self.value))
        else:
            (key, value, lengths), mask = cache, None
        inputs = without_padding(inputs, *padding(inputs))
        query = self._heads(self.query, inputs)
        shape = sizes(query)
        if cache is not None:
            rows = sizes(key)[0]
            if isinstance(shape[0], int) and isinstance(rows, int) and (shape[0] % rows if rows else shape[0]):
                raise ValueError(
                    f"`inputs` must have a multiple of the {rows} rows of `cache`. "
                    f"Received: inputs.shape={inputs.shape}"
                )
            # Queries of rows that share a memory are queries of one row.
            query = tf.reshape(query, [rows, -1, *shape[2:]])
        outputs = self._attend(query, key, value, mask, key_value_seq_lengths=lengths)
        outputs = tf.reshape(outputs, [*shape[:2], outputs.shape[-1]])
        if not return_attention_scores:
            return outputs
        weights = self._weights(query, key, mask, key_value_seq_lengths=lengths)
        if cache is not None:
            _, heads, _, keys = sizes(weights)
            by_row = tf.reshape(weights, [rows, heads, -1, shape[1], keys])
            weights = tf.reshape(tf.transpose(by_row, [0, 2, 1, 3, 4]), [shape[0], heads, shape[1], keys])
        return outputs, weights

    def memory_cache(self, memory, memory_lengths=None, memory_mask=None):
        """Returns the projected keys and values of `memory` as a `MemoryCache`, for any number of calls of the layer.

        The arguments are those of the call.

        Raises:
            ValueError: If the layer is not built, or a shape is not as in the call.
        """
        self._check_built("memory_cache")
        lengths, mask = padding(memory, memory_lengths, memory_mask, prefix="memory_")
        memory = without_padding(memory, lengths, mask)
        if mask is not None:
            # The order of the keys does not matter here.
            memory, lengths, _ = packed(memory, mask)
        if lengths is None:
            lengths = tf.fill(tf.shape(memory)[:1], tf.shape(memory)[1])
        return MemoryCache(self._heads(self.key, memory), self._heads(self.value, memory), lengths)
