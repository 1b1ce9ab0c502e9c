"""`TransformerTranslationModel`: an encoder-decoder Transformer."""

import keras

from ikelos.kernels.reference.shapes import size_of
from ikelos.layers.models.translation_model import TranslationModel
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.transformer.decoder_block import DecoderBlock
from ikelos.layers.transformer.encoder_block import EncoderBlock


@keras.saving.register_keras_serializable(package="ikelos")
class TransformerTranslationModel(TranslationModel):
    """Encoder-decoder Transformer (Vaswani et al. 2017) with pre-norm blocks, rotary positions and gated feed-forward
    networks. Source tokens, target tokens and outputs share one embedding.

    Args:
        vocabulary_size: Number of token ids, V.
        num_layers: Number of blocks of the encoder, and of the decoder.
        size: Width of the residual stream, D.
        num_heads: Number of query heads in a block.
        hidden_size: Width of the feed-forward networks.
        num_key_value_heads: Number of key and value heads; `num_heads` if None.
        dropout: Share of the embedded tokens' features and of each branch's outputs that is dropped in training.
        padding_id: Id that follows the end of shorter texts. It occurs nowhere else.

    Call arguments:
        inputs: A dict of `source`, int `[B,S]`, and `target`, int `[B,T]`, both padded at the end.

    Output shape: logits `[B,T,V]` of each next target token, float32 under every dtype policy.

    Example:

    >>> model = TransformerTranslationModel(100, num_layers=2, size=8, num_heads=2, hidden_size=16)
    >>> model({"source": keras.ops.ones((2, 7), "int32"), "target": keras.ops.ones((2, 5), "int32")}).shape
    TensorShape([2, 5, 100])
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        size,
        num_heads,
        hidden_size,
        num_key_value_heads=None,
        dropout=0.0,
        padding_id=0,
        **kwargs,
    ):
        super().__init__(vocabulary_size, size, dropout, padding_id, **kwargs)
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_size = hidden_size
        self.num_key_value_heads = num_key_value_heads

        def stack(block_class, prefix):
            arguments = {"dropout": dropout, "dtype": self.dtype_policy}
            return [
                block_class(num_heads, hidden_size, num_key_value_heads, name=f"{prefix}_{i}", **arguments)
                for i in range(num_layers)
            ]

        self.encoder, self.decoder = stack(EncoderBlock, "encoder"), stack(DecoderBlock, "decoder")
        self.encoder_norm = FusedRMSNormalization(name="encoder_norm", dtype=self.dtype_policy)
        self.decoder_norm = FusedRMSNormalization(name="decoder_norm", dtype=self.dtype_policy)

    def build(self, input_shape=None):
        """Creates the weights, which depend on no shape of the inputs."""
        shape = (None, None, self.size)
        self.embedding.build((None, None))
        for part in (*self.encoder, self.encoder_norm, self.decoder_norm):
            part.build(shape)
        for block in self.decoder:
            block.build(shape, shape)

    def encode(self, source, training=None):
        """Returns the memory `[B,S,D]` of source tokens int `[B,S]`, padded at the end."""
        hidden, lengths = self._embed(source, training), self._lengths(source)
        for block in self.encoder:
            hidden = block(hidden, lengths=lengths, training=training)
        return self.encoder_norm(hidden)

    def _decode(self, target, memory, lengths, training):
        """Returns the features `[B,T,D]` from which the logits of each next token are computed."""
        hidden = self._embed(target, training)
        for block in self.decoder:
            hidden = block(hidden, memory, memory_lengths=lengths, training=training)
        return self.decoder_norm(hidden)

    def _attention_weights(self, target, memory, lengths):
        """Returns the weights `[B,N,T,S]` of each block's attention to the memory."""
        hidden, found = self._embed(target, training=False), []
        for block in self.decoder:
            hidden, weights = block(hidden, memory, memory_lengths=lengths, return_attention_scores=True)
            found.append(weights)
        return found

    def _empty_state(self, memory, lengths, capacity):
        batch = size_of(memory, 0)
        return [block.empty_cache(batch, capacity, memory, memory_lengths=lengths) for block in self.decoder]

    def _extend(self, tokens, state, lengths=None):
        """Returns the features of some more tokens `[B,T]` of each row, and the new state."""
        hidden, extended = self._embed(tokens, training=False), []
        for block, cache in zip(self.decoder, state, strict=True):
            hidden, cache = block(hidden, cache=cache, lengths=lengths)
            extended.append(cache)
        return self.decoder_norm(hidden), extended

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "hidden_size": self.hidden_size,
            "num_key_value_heads": self.num_key_value_heads,
        }
