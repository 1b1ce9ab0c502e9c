"""`TransformerLanguageModel`: a decoder-only Transformer over token ids."""

import keras
import tensorflow as tf

from ikelos.layers.embedding.hashed_ngram_embedding import HashedNgramEmbedding
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.transformer.decoder_block import DecoderBlock


@keras.saving.register_keras_serializable(package="ikelos")
class TransformerLanguageModel(keras.Model):
    """Decoder-only Transformer: pre-norm blocks, rotary positions, gated feed-forward (Touvron et al. 2023).

    Weights start as in GPT-2 (Radford et al. 2019, section 2.3): normal with deviation 0.02, that of the
    projections onto the residual stream divided by the root of their number.

    Args:
        vocabulary_size: Number of token ids, V.
        context: How many tokens a token sees in each block, itself included.
        num_layers: Number of blocks.
        size: Width of the residual stream, D.
        num_heads: Query heads of a block.
        hidden_size: Width of the feed-forward networks.
        num_key_value_heads: Key and value heads; as many as query heads when None.
        dropout: Share of each branch's outputs dropped in training.
        ngram_orders: Lengths of the n-grams whose embeddings are added to the token's, as in
            `ikelos.layers.HashedNgramEmbedding`; none when empty.
        ngram_buckets: Rows of each order's table.

    Call arguments:
        tokens: int `[B,T]`.

    Output shape: logits `[B,T,V]`, float32 under every dtype policy.

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
        ngram_orders=(),
        ngram_buckets=16384,
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
        self.ngram_orders = tuple(ngram_orders)
        self.ngram_buckets = ngram_buckets
        self.ngram_embedding = None
        if self.ngram_orders:
            self.ngram_embedding = HashedNgramEmbedding(
                ngram_buckets,
                size,
                self.ngram_orders,
                embeddings_initializer=_normal(0.02),
                name="ngram_embedding",
                dtype=self.dtype_policy,
            )
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
        self.head = keras.layers.Dense(
            vocabulary_size, use_bias=False, kernel_initializer=_normal(0.02), name="logits", dtype="float32"
        )

    def build(self, input_shape):
        """Creates the weights."""
        self.embedding.build(input_shape)
        if self.ngram_embedding is not None:
            self.ngram_embedding.build(input_shape)
        hidden_shape = (*input_shape, self.size)
        for part in (*self.blocks, self.norm, self.head):
            part.build(hidden_shape)

    def call(self, tokens, training=None):
        """Logits `[B,T,V]` of each next token."""
        hidden = self._embed(tokens)
        for block in self.blocks:
            hidden = block(hidden, training=training)
        return self.head(self.norm(hidden))

    def start(self, tokens, lengths, capacity):
        """Reads prompts.

        Args:
            tokens: int `[B,P]`, padded at the end.
            lengths: int32 `[B]`, each at least 1.
            capacity: Number of positions to keep room for: P and one for each `advance`.

        Returns:
            Logits `[B,V]` of the token that follows each prompt, and the state to `advance` from.
        """
        if not self.built:
            self.build((None, None))
        caches = [block.empty_cache(tf.shape(tokens)[0], capacity) for block in self.blocks]
        tokens = tf.pad(tokens, [[0, 0], [self._memory, 0]])
        hidden, caches = self._extend(self._embed(tokens)[:, self._memory :], caches, lengths)
        last = tf.gather(hidden, lengths - 1, axis=1, batch_dims=1)
        # The last tokens of each prompt, for the n-grams of the next one.
        recent = tf.gather(tokens, lengths[:, None] + tf.range(self._memory), axis=1, batch_dims=1)
        return self.head(self.norm(last)), (caches, recent)

    def advance(self, tokens, state):
        """Reads one more token a row, int `[B]`; returns logits `[B,V]` and the new state."""
        caches, recent = state
        tokens = tokens[:, None]
        hidden, caches = self._extend(self._embed(tokens, recent), caches)
        recent = tf.concat([recent, tokens], axis=1)[:, 1:]
        return self.head(self.norm(hidden[:, 0])), (caches, recent)

    @property
    def _memory(self):
        """How many tokens before a token its n-grams need."""
        return max(self.ngram_orders, default=1) - 1

    def _embed(self, tokens, recent=None):
        hidden = self.embedding(tokens)
        return hidden if self.ngram_embedding is None else hidden + self.ngram_embedding(tokens, previous=recent)

    def _extend(self, hidden, caches, lengths=None):
        extended = []
        for block, cache in zip(self.blocks, caches, strict=True):
            hidden, cache = block(hidden, cache=cache, lengths=lengths)
            extended.append(cache)
        return hidden, extended

    def compute_output_shape(self, input_shape):
        """`[B,T,V]`."""
        return (*input_shape, self.vocabulary_size)

    def get_config(self):
        """The constructor's arguments."""
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
            "ngram_orders": self.ngram_orders,
            "ngram_buckets": self.ngram_buckets,
        }


def _normal(deviation):
    return keras.initializers.RandomNormal(stddev=deviation)
