"""`TransformerLanguageModel`: a decoder-only Transformer."""

import keras
import tensorflow as tf

from ikelos.kernels import KVCache, in_place
from ikelos.layers.ngram.ngram_mixture import NgramMixture
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.options import is_integer
from ikelos.layers.projection import Projection
from ikelos.layers.transformer.decoder_block import DecoderBlock


@keras.saving.register_keras_serializable(package="ikelos")
class TransformerLanguageModel(keras.Model):
    """Decoder-only Transformer with pre-norm blocks, rotary positions and gated feed-forward networks (Touvron et al.
    2023).

    Weights are initialised as in GPT-2 (Radford et al. 2019, section 2.3): from a normal distribution with standard
    deviation 0.02. For projections onto the residual stream, it is divided by the square root of the number of these
    projections.

    Args:
        vocabulary_size: Number of token ids, V.
        context: Number of tokens that a token attends to in each block, itself included.
        num_layers: Number of blocks.
        size: Width of the residual stream, D.
        num_heads: Number of query heads in a block.
        hidden_size: Width of the feed-forward networks.
        num_key_value_heads: Number of key and value heads; `num_heads` if None.
        dropout: Share of each branch's outputs that is dropped in training.
        ngram_order: Length of the longest n-grams that are mixed into the predictions, together with repetitions in the
            context (`ikelos.layers.NgramMixture`); 0 for a Transformer alone. Call `adapt` to count the n-grams before
            training. XLA cannot compile a model with n-grams.
        max_ngrams: Largest number of distinct n-grams, as in `ikelos.layers.NgramDistribution`.
        longest_match: Length of a repetition, in tokens, beyond which its weight no longer depends on its length:
            `longest` of `ikelos.layers.SuffixCopy`.

    Call arguments:
        tokens: int `[B,T]`.

    Output shape: logits `[B,T,V]`, float32 under every dtype policy; with n-grams, log-probabilities.

    Example:

    >>> model = TransformerLanguageModel(100, context=16, num_layers=2, size=8, num_heads=2, hidden_size=16)
    >>> model(keras.ops.zeros((2, 5), "int32")).shape
    TensorShape([2, 5, 100])
    """

    def __init__(
        self,
        vocabulary_size,
        context,
        num_layers,
        size,
        num_heads,
        hidden_size,
        num_key_value_heads=None,
        dropout=0.0,
        ngram_order=0,
        max_ngrams=4_000_000,
        longest_match=24,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.context = context
        self.num_layers = num_layers
        self.size = size
        self.num_heads = num_heads
        self.hidden_size = hidden_size
        self.num_key_value_heads = num_key_value_heads
        self.dropout = dropout
        if not is_integer(ngram_order) or ngram_order < 0:
            raise ValueError(f"`ngram_order` must be an integer of at least 0. Received: ngram_order={ngram_order!r}")
        self.ngram_order = ngram_order
        self.max_ngrams = max_ngrams
        self.longest_match = longest_match
        self.mixture = None
        if ngram_order:
            self.mixture = NgramMixture(
                vocabulary_size,
                size,
                ngram_order,
                max_ngrams,
                longest_match,
                window=context,
                name="mixture",
                dtype=self.dtype_policy,
            )
            self.supports_jit = False
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            size,
            embeddings_initializer=_normal(0.02),
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.blocks = [
            DecoderBlock(
                num_heads,
                hidden_size,
                num_key_value_heads,
                window=context,
                dropout=dropout,
                kernel_initializer=_normal(0.02),
                output_initializer=_normal(0.02 / (2 * num_layers) ** 0.5),
                name=f"block_{i}",
                dtype=self.dtype_policy,
            )
            for i in range(num_layers)
        ]
        self.norm = FusedRMSNormalization(name="norm", dtype=self.dtype_policy)
        self.head = Projection(
            vocabulary_size, use_bias=False, kernel_initializer=_normal(0.02), name="logits", dtype="float32"
        )

    def build(self, input_shape):
        """Creates the weights."""
        self.embedding.build(input_shape)
        if self.mixture is not None:
            self.mixture.build(input_shape)
        hidden_shape = (*input_shape, self.size)
        parts: tuple[keras.layers.Layer, ...] = (*self.blocks, self.norm, self.head)
        for part in parts:
            part.build(hidden_shape)

    def adapt(self, documents):
        """Counts the n-grams of the training text.

        Args:
            documents: Sequence of int arrays `[T]` of ids in `[0, V)`. No n-gram spans two documents.

        Returns:
            The length of the longest n-grams that were kept.

        Raises:
            ValueError: If `ngram_order` is 0, `documents` is empty, a document is not an array of ids as above, or
                `max_ngrams` is less than the number of distinct tokens.
        """
        if self.mixture is None:
            raise ValueError("`ngram_order` must be at least 1 for a model to adapt. Received: ngram_order=0")
        if not self.built:
            self.build((None, None))
        return self.mixture.adapt(documents)

    def call(self, tokens, training=None):
        """Returns the logits, or with n-grams the log-probabilities, `[B,T,V]` of each next token."""
        evidence = self._evidence(tokens, training)
        hidden = self._embed(tokens, evidence)
        for block in self.blocks:
            hidden = block(hidden, training=training)
        return self._logits(hidden, evidence)

    def start(self, tokens, lengths, capacity):
        """Reads prompts.

        Args:
            tokens: int `[B,P]`, padded at the end.
            lengths: int32 `[B]`, each at least 1.
            capacity: Number of positions in the caches: P plus one for each `advance`.

        Returns:
            Logits `[B,V]` of the token that follows each prompt, and the state to `advance` from.
        """
        if not self.built:
            self.build((None, None))
        caches = [block.empty_cache(tf.shape(tokens)[0], capacity) for block in self.blocks]
        evidence = self._evidence(tokens)
        hidden, caches = self._extend(self._embed(tokens, evidence), caches, lengths)

        def last(x):
            return tf.gather(x, lengths - 1, axis=1, batch_dims=1)

        counting = () if self.mixture is None else self.mixture.start(tokens, lengths, capacity)
        return self._logits(last(hidden), tf.nest.map_structure(last, evidence)), (caches, counting)

    @in_place.consumes_state
    def advance(self, tokens, state):
        """Reads one more token per row.

        Args:
            tokens: The tokens, int `[B]`.
            state: The state from `start` or from the last `advance`.

        Returns:
            Logits `[B,V]` of the token that follows each row, and the new state.
        """
        caches, counting = state
        evidence = ()
        if self.mixture is not None:
            evidence, counting = self.mixture.advance(tf.cast(tokens, tf.int32), counting)
        hidden, caches = self._extend(self._embed(tokens[:, None], evidence), caches)
        return self._logits(hidden, evidence)[:, 0], (caches, counting)

    def state_tensors(self, state):
        """Returns a state as tensors by name, which a caller can keep between calls of a served model.

        Args:
            state: The state from `start` with a `capacity` of at most `context`, beyond which the caches keep the last
                tokens alone, or from `advance` after that; all S positions of the caches are kept.

        Returns:
            `keys` and `values` of all L blocks, `[B,S,L,K,H]`, and `length`, int32 `[B]`, the number of positions in
            use; with n-grams also `tokens` and `matches`, int32 `[B,S]`, and `contexts`, int32 `[B,N]`.
        """
        caches, counting = state
        keys, values = (tf.stack([cache[part] for cache in caches], axis=2) for part in (0, 1))
        tensors = {"keys": keys, "values": values, "length": caches[0].length}
        if self.mixture is not None:
            contexts, (tokens, matches, _) = counting
            tensors |= {"tokens": tokens, "matches": matches, "contexts": contexts}
        return tensors

    def state_from_tensors(self, tensors):
        """Returns the state of the tensors of `state_tensors`, with room for one more token."""

        def with_room(x):
            return tf.pad(x, [[0, 0], [0, 1], *[[0, 0]] * (x.shape.rank - 2)])

        keys, values = (tf.unstack(with_room(tensors[name]), self.num_layers, axis=2) for name in ("keys", "values"))
        length = tensors["length"]
        caches = [KVCache(key, value, length) for key, value in zip(keys, values, strict=True)]
        if self.mixture is None:
            return caches, ()
        copying = with_room(tensors["tokens"]), with_room(tensors["matches"]), length - 1
        return caches, (tensors["contexts"], copying)

    def _evidence(self, tokens, training=None):
        return () if self.mixture is None else self.mixture.evidence(tokens, training)

    def _embed(self, tokens, evidence):
        hidden = self.embedding(tokens)
        return hidden if self.mixture is None else hidden + self.mixture.embed(evidence)

    def _logits(self, hidden, evidence):
        hidden = self.norm(hidden)
        logits = self.head(hidden)
        return logits if self.mixture is None else self.mixture.mix(logits, hidden, evidence)

    def _extend(self, hidden, caches, lengths=None):
        extended = []
        for block, cache in zip(self.blocks, caches, strict=True):
            # All caches have the same length. As one tensor, TensorFlow computes once what follows from it.
            cache = cache._replace(length=caches[0].length)
            hidden, cache = block(hidden, cache=cache, lengths=lengths)
            extended.append(cache)
        return hidden, extended

    def compute_output_shape(self, input_shape):
        """Returns `[B,T,V]`."""
        return (*input_shape, self.vocabulary_size)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "context": self.context,
            "num_layers": self.num_layers,
            "size": self.size,
            "num_heads": self.num_heads,
            "hidden_size": self.hidden_size,
            "num_key_value_heads": self.num_key_value_heads,
            "dropout": self.dropout,
            "ngram_order": self.ngram_order,
            "max_ngrams": self.max_ngrams,
            "longest_match": self.longest_match,
        }


def _normal(deviation):
    return keras.initializers.RandomNormal(stddev=deviation)
