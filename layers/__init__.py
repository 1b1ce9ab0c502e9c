"""Keras 3 layers, small models and in-graph decoding."""

from ikelos.layers.attention.causal_self_attention import CausalSelfAttention
from ikelos.layers.attention.fused_grouped_query_attention import FusedGroupedQueryAttention
from ikelos.layers.attention.fused_multi_head_attention import FusedMultiHeadAttention
from ikelos.layers.attention.kv_cache import KVCache
from ikelos.layers.embedding.hashed_ngram_embedding import HashedNgramEmbedding
from ikelos.layers.models.lstm_language_model import LSTMLanguageModel
from ikelos.layers.models.transformer_language_model import TransformerLanguageModel
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.position.rotary_embedding import RotaryEmbedding
from ikelos.layers.recurrent.fused_gru import FusedGRU
from ikelos.layers.recurrent.fused_gru_cell import FusedGRUCell
from ikelos.layers.recurrent.fused_lstm import FusedLSTM
from ikelos.layers.recurrent.fused_lstm_cell import FusedLSTMCell
from ikelos.layers.transformer.decoder_block import DecoderBlock
from ikelos.layers.transformer.gated_feed_forward import GatedFeedForward

__all__ = [
    "CausalSelfAttention",
    "DecoderBlock",
    "FusedGRU",
    "FusedGRUCell",
    "FusedGroupedQueryAttention",
    "FusedLSTM",
    "FusedLSTMCell",
    "FusedMultiHeadAttention",
    "FusedRMSNormalization",
    "GatedFeedForward",
    "HashedNgramEmbedding",
    "KVCache",
    "LSTMLanguageModel",
    "RotaryEmbedding",
    "TransformerLanguageModel",
]
