"""Keras 3 layers, small models and in-graph decoding."""

from ikelos.layers import backend  # noqa: F401, I001  First, because the other imports need this backend.
from ikelos.kernels import KVCache
from ikelos.layers.adversarial.differentiable_augmentation import DifferentiableAugmentation
from ikelos.layers.adversarial.pairwise_diversity import PairwiseDiversity
from ikelos.layers.attention.cross_attention import CrossAttention
from ikelos.layers.attention.fused_grouped_query_attention import FusedGroupedQueryAttention
from ikelos.layers.attention.fused_multi_head_attention import FusedMultiHeadAttention
from ikelos.layers.attention.memory_cache import MemoryCache
from ikelos.layers.attention.self_attention import SelfAttention
from ikelos.layers.audio.log_mel_spectrogram import LogMelSpectrogram
from ikelos.layers.audio.spec_augment import SpecAugment
from ikelos.layers.audio.spectrogram_warp import SpectrogramWarp
from ikelos.layers.convert import convert
from ikelos.layers.distributions.bernoulli import Bernoulli
from ikelos.layers.distributions.categorical import Categorical
from ikelos.layers.distributions.continuous_bernoulli import ContinuousBernoulli
from ikelos.layers.distributions.kl_divergence import KLDivergence
from ikelos.layers.distributions.learned_prior import LearnedPrior
from ikelos.layers.distributions.logistic import Logistic
from ikelos.layers.distributions.mixture import Mixture
from ikelos.layers.distributions.mixture_discretized_logistic import MixtureDiscretizedLogistic
from ikelos.layers.distributions.mixture_normal import MixtureNormal
from ikelos.layers.distributions.multivariate_normal_diag import MultivariateNormalDiag
from ikelos.layers.distributions.multivariate_normal_tril import MultivariateNormalTriL
from ikelos.layers.distributions.negative_log_likelihood import NegativeLogLikelihood
from ikelos.layers.distributions.normal import Normal
from ikelos.layers.distributions.one_hot_categorical import OneHotCategorical
from ikelos.layers.distributions.poisson import Poisson
from ikelos.layers.distributions.real_nvp_prior import RealNVPPrior
from ikelos.layers.distributions.standard_normal_prior import StandardNormalPrior
from ikelos.layers.distributions.vamp_prior import VampPrior
from ikelos.layers.distributions.vector_quantizer import VectorQuantizer
from ikelos.layers.embedding.hashed_ngram_embedding import HashedNgramEmbedding
from ikelos.layers.models.active_units import ActiveUnits
from ikelos.layers.models.adversarial_model import AdversarialModel
from ikelos.layers.models.lstm_language_model import LSTMLanguageModel
from ikelos.layers.models.lstm_speech_model import LSTMSpeechModel
from ikelos.layers.models.lstm_translation_model import LSTMTranslationModel
from ikelos.layers.models.reply_ranker import ReplyRanker
from ikelos.layers.models.transformer_language_model import TransformerLanguageModel
from ikelos.layers.models.transformer_translation_model import TransformerTranslationModel
from ikelos.layers.models.variational_autoencoder import VariationalAutoencoder
from ikelos.layers.ngram.ngram_distribution import NgramDistribution
from ikelos.layers.ngram.ngram_mixture import NgramMixture
from ikelos.layers.ngram.suffix_copy import SuffixCopy
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.position.alibi_bias import AlibiBias
from ikelos.layers.position.learned_position_embedding import LearnedPositionEmbedding
from ikelos.layers.position.relative_position_bias import RelativePositionBias
from ikelos.layers.position.rotary_embedding import RotaryEmbedding
from ikelos.layers.position.sinusoidal_position_embedding import SinusoidalPositionEmbedding
from ikelos.layers.recurrent.fused_gru import FusedGRU
from ikelos.layers.recurrent.fused_gru_cell import FusedGRUCell
from ikelos.layers.recurrent.fused_lstm import FusedLSTM
from ikelos.layers.recurrent.fused_lstm_cell import FusedLSTMCell
from ikelos.layers.transformer.decoder_block import DecoderBlock
from ikelos.layers.transformer.encoder_block import EncoderBlock
from ikelos.layers.transformer.feed_forward import FeedForward

__all__ = [
    "ActiveUnits",
    "AdversarialModel",
    "AlibiBias",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "CrossAttention",
    "DecoderBlock",
    "DifferentiableAugmentation",
    "EncoderBlock",
    "FeedForward",
    "FusedGRU",
    "FusedGRUCell",
    "FusedGroupedQueryAttention",
    "FusedLSTM",
    "FusedLSTMCell",
    "FusedMultiHeadAttention",
    "FusedRMSNormalization",
    "HashedNgramEmbedding",
    "KLDivergence",
    "KVCache",
    "LSTMLanguageModel",
    "LSTMSpeechModel",
    "LSTMTranslationModel",
    "LearnedPositionEmbedding",
    "LearnedPrior",
    "LogMelSpectrogram",
    "Logistic",
    "MemoryCache",
    "Mixture",
    "MixtureDiscretizedLogistic",
    "MixtureNormal",
    "MultivariateNormalDiag",
    "MultivariateNormalTriL",
    "NegativeLogLikelihood",
    "NgramDistribution",
    "NgramMixture",
    "Normal",
    "OneHotCategorical",
    "PairwiseDiversity",
    "Poisson",
    "RealNVPPrior",
    "RelativePositionBias",
    "ReplyRanker",
    "RotaryEmbedding",
    "SelfAttention",
    "SinusoidalPositionEmbedding",
    "SpecAugment",
    "SpectrogramWarp",
    "StandardNormalPrior",
    "SuffixCopy",
    "TransformerLanguageModel",
    "TransformerTranslationModel",
    "VampPrior",
    "VariationalAutoencoder",
    "VectorQuantizer",
    "convert",
]
