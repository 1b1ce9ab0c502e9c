"""`DecoderBlock`: causal self-attention, optional cross-attention to a memory, and a feed-forward network."""

import keras

from ikelos.kernels import KVCache
from ikelos.layers.attention.cross_attention import CrossAttention
from ikelos.layers.transformer.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="ikelos")
class DecoderBlock(TransformerBlock):
    """Block of a Transformer decoder (Vaswani et al. 2017, section 3.1) or of a decoder-only Transformer, pre-norm by
    default (Xiong et al. 2020).

    A block that was built with a memory attends to it too, and every call needs a memory or a `cache` that contains it.
    A stack of pre-norm blocks should be followed by one more normalisation.

    Args:
        num_heads: Number of query heads.
        hidden_size: Width of the feed-forward network.
        num_key_value_heads: Number of key and value heads; `num_heads` if None.
        window: Number of tokens that a token attends to, itself included; None for all tokens before it.
        dropout: Share of each branch's outputs that is dropped in training.
        normalization: `"rms"` or `"layer"`.
        normalize_first: Whether each branch normalises its inputs; otherwise the residual stream is normalised after
            each branch.
        activation: Activation of the feed-forward network: `"swiglu"`, or one of `keras.activations`, without a gate.
        position: `"rotary"`, None, or a layer `RotaryEmbedding`, `AlibiBias` or `RelativePositionBias`, which the
            blocks of a stack may share.
        use_bias: Whether projections add a bias.
        kernel_initializer: Initializer of the projections into a branch.
        output_initializer: Initializer of the projections back onto the residual stream.

    Call arguments:
        inputs: `[B,T,D]`.
        memory: `[B,S,M]`, the outputs of an encoder; None in a decoder-only block, and with a `cache`, which contains
            it.
        cache: From `empty_cache` or an earlier call. With None, the inputs start at position 0 and no cache is
            returned.
        lengths: As in `SelfAttention`. Outputs at padding are undefined.
        memory_lengths: As in `CrossAttention`.
        mask: As in `SelfAttention`.
        memory_mask: As in `CrossAttention`.
        return_attention_scores: Whether to return the weights of the attention to the memory too.

    Returns:
        The outputs `[B,T,D]`, and with `cache` the longer cache, and with `return_attention_scores=True` the weights
        `[B,N,T,S]`; a tuple if there are several.

    Raises:
        ValueError: If `normalization` is unknown; if a block that was built with a memory gets none, or a block that
            was built without one gets a memory, lengths or a mask of it, or `return_attention_scores=True`; if `cache`
            comes from a block of the other kind; or if an argument is invalid for `SelfAttention`, `CrossAttention`,
            `FeedForward` or `keras.layers.Dropout`.

    Example:

    >>> block, x = DecoderBlock(num_heads=2, hidden_size=16), keras.random.normal((2, 5, 8))
    >>> memory, lengths = keras.random.normal((2, 7, 8)), keras.ops.array([7, 4])
    >>> whole = block(x, memory, memory_lengths=lengths)
    >>> cache = block.empty_cache(2, capacity=5, memory=memory, memory_lengths=lengths)
    >>> first, cache = block(x[:, :1], cache=cache)
    >>> bool(abs(first - whole[:, :1]).numpy().max() < 1e-5)
    True
    """

    is_causal = True

    def build(self, inputs_shape, memory_shape=None):
        """Creates the weights for inputs `[B,T,D]`, and cross-attention if there is a `memory_shape`, `[B,S,M]`."""
        self.attention_norm.build(inputs_shape)
        self.attention.build(inputs_shape)
        self.cross_attention = None
        if memory_shape is not None:
            self.cross_attention_norm = self._norm("cross_attention_norm")
            self.cross_attention_norm.build(inputs_shape)
            self.cross_attention = CrossAttention(
                self.attention.num_heads, self.attention.num_key_value_heads, name="cross_attention", **self._shared
            )
            self.cross_attention.build(inputs_shape, memory_shape)
        self.feed_forward_norm.build(inputs_shape)
        self.feed_forward.build(inputs_shape)

    def call(
        self,
        inputs,
        memory=None,
        cache=None,
        lengths=None,
        memory_lengths=None,
        mask=None,
        memory_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        """Maps `inputs [B,T,D]` to the same shape."""
        self._check(memory, memory_lengths, memory_mask, cache)
        if return_attention_scores and self.cross_attention is None:
            raise ValueError(
                "`return_attention_scores` must be False for a block that was built without a memory. "
                "Received: return_attention_scores=True"
            )
        own_cache, memory_cache = cache if cache is not None and self.cross_attention is not None else (cache, None)
        inputs, padding = self._without_padding(inputs, lengths, mask)
        attended = self.attention(self._enter(self.attention_norm, inputs), cache=own_cache, **padding)
        if cache is not None:
            attended, own_cache = attended
        hidden = self._leave(self.attention_norm, inputs, attended, training)
        scores = None
        if self.cross_attention is not None:
            attended = self.cross_attention(
                self._enter(self.cross_attention_norm, hidden),
                memory,
                cache=memory_cache,
                memory_lengths=memory_lengths,
                memory_mask=memory_mask,
                return_attention_scores=return_attention_scores,
            )
            if return_attention_scores:
                attended, scores = attended
            hidden = self._leave(self.cross_attention_norm, hidden, attended, training)
        outputs = self._feed(hidden, training)
        results = [outputs]
        if cache is not None:
            results.append(own_cache if memory_cache is None else (own_cache, memory_cache))
        if return_attention_scores:
            results.append(scores)
        return results[0] if len(results) == 1 else tuple(results)

    def empty_cache(self, batch_size, capacity, memory=None, memory_lengths=None, memory_mask=None):
        """Returns a cache that contains no tokens.

        Args:
            batch_size: Batch size, B.
            capacity: Number of tokens that the cache has room for.
            memory: As in a call. Calls with the cache need no memory.
            memory_lengths: As in a call.
            memory_mask: As in a call.

        Returns:
            A `KVCache` for the tokens; with a memory, a pair: the `KVCache` for the tokens and a `MemoryCache`.

        Raises:
            ValueError: If the block is not built, or was built with a memory and gets none, or was built without one
                and gets a memory, lengths or a mask.
        """
        own_cache = self.attention.empty_cache(batch_size, capacity)
        self._check(memory, memory_lengths, memory_mask)
        if self.cross_attention is None:
            return own_cache
        return own_cache, self.cross_attention.memory_cache(memory, memory_lengths, memory_mask)

    def _check(self, memory, memory_lengths, memory_mask, cache=None):
        is_built_with_one = self.cross_attention is not None
        if (memory is not None) != (is_built_with_one and cache is None):
            raise ValueError(
                "`memory` must be given to a block that was built with one, unless a `cache` has it, and to no other. "
                f"Received: memory {'not given' if memory is None else 'given'}, cache "
                f"{'not given' if cache is None else 'given'}, block built with{'' if is_built_with_one else 'out'} one"
            )
        if not is_built_with_one and not (memory_lengths is None and memory_mask is None):
            raise ValueError(
                "`memory_lengths` and `memory_mask` must be None for a block that was built without a memory. "
                f"Received: {'memory_mask' if memory_lengths is None else 'memory_lengths'}"
            )
        if cache is not None and isinstance(cache, KVCache) == is_built_with_one:
            raise ValueError(
                "`cache` must be a `KVCache`, or for a block that was built with a memory a pair with a `MemoryCache`. "
                f"Received: {'a `KVCache`' if is_built_with_one else type(cache).__name__}, "
                f"block built with{'' if is_built_with_one else 'out'} one"
            )
