"""The ops of Ikelos, one public function each, and the choice of the implementation that runs an op."""

from ikelos.kernels.attention import attention
from ikelos.kernels.cached_attention import cached_attention
from ikelos.kernels.dense import dense, gated_dense
from ikelos.kernels.dispatch import Choice, LibraryError, explain, status, use
from ikelos.kernels.kv_cache import KVCache
from ikelos.kernels.recurrent import gru, lstm
from ikelos.kernels.recurrent_arguments import LayerNorm
from ikelos.kernels.rms_norm import rms_norm
from ikelos.kernels.rotary import rotary
from ikelos.kernels.swiglu import swiglu

__all__ = [
    "Choice",
    "KVCache",
    "LayerNorm",
    "LibraryError",
    "attention",
    "cached_attention",
    "dense",
    "explain",
    "gated_dense",
    "gru",
    "lstm",
    "rms_norm",
    "rotary",
    "status",
    "swiglu",
    "use",
]
