"""The typed recipe of sequence dynamics. Imports nothing heavy."""

from typing import Literal, Self

import pydantic

from ikelos.pipelines.recipe import sections
from ikelos.pipelines.recipe.sections import PlainTraining, Positive, PositiveFloat, Section, TaskConfig
from ikelos.pipelines.text.config import SpeedByLength, TextSource, Vocabulary
from ikelos.pipelines.text.model_sections import check_rotary_heads

Kind = Literal["rnn", "lstm", "gru", "transformer", "transformer_without_positions"]


class Data(Section):
    """The text, which is one of the three problems; the other two are generated from the seed.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        vocabulary: Vocabulary, fitted on the training split alone.
    """

    source: TextSource
    vocabulary: Vocabulary


class Problems(Section):
    """The three problems.

    Attributes:
        symbols: Number of different symbols of the copy problem.
        copied: Number of symbols to copy.
        lags: Lags of the training batches, each of which has one lag: the steps between the symbols and their recall,
            and the number of terms of the adding problem, at least 2.
        text_length: Tokens in a window of text.
    """

    symbols: Positive
    copied: Positive
    lags: tuple[Positive, ...]
    text_length: Positive


class Model(Section):
    """The networks: a recurrent layer or Transformer blocks, between an embedding and a linear layer.

    Attributes:
        kinds: The networks to compare: `rnn`, Keras's plain RNN; `lstm` and `gru`, the fused layers; `transformer`,
            with rotary positions; `transformer_without_positions`.
        units: Units of the recurrent layer, and features of a token.
        num_layers: Blocks of the Transformers.
        num_heads: Attention heads of a block.
        hidden_size: Width of a block's feed-forward layer.
        exploding_gain: Factor of the orthogonal recurrent weights with which the plain RNN begins that is trained with
            and without clipping; the others begin with 1.
    """

    kinds: tuple[Kind, ...]
    units: Positive
    num_layers: Positive
    num_heads: Positive
    hidden_size: Positive
    exploding_gain: PositiveFloat

    @pydantic.model_validator(mode="after")
    def _heads_divide_the_units(self) -> Self:
        check_rotary_heads(self.units, self.num_heads, "units")
        return self


class Evaluation(sections.Evaluation):
    """Evaluation of all networks.

    Attributes:
        headline: Network whose accuracy is the headline figure, and which is exported.
        lags: Lags at which the accuracy is measured, which may be longer than those of the training.
        examples: Test examples for each lag.
        tolerance: Largest error of a sum that counts as right.
        text_windows: Test windows of text in which likelihood and gradients are measured.
        gains: Factors of orthogonal recurrent weights with which the gradients of an untrained plain RNN are measured.
        speed: Timing of a training step, and of decoding.
    """

    headline: Kind
    lags: tuple[Positive, ...]
    examples: Positive
    tolerance: PositiveFloat
    text_windows: Positive
    gains: tuple[PositiveFloat, ...]
    speed: SpeedByLength


class Export(sections.Export):
    """Export of the trained model.

    Attributes:
        max_lag: Longest lag of a request, and half the most numbers to add two of.
    """

    max_lag: Positive


class Config(TaskConfig):
    """The recipe of sequence dynamics.

    Attributes:
        copying: Training of each network on the copy problem.
        adding: Training of each network on the adding problem.
        language_modeling: Training of each network on the text.
        clipping: Training of a plain RNN on the text whose gradients explode: once as stated, once without clipping.
    """

    data: Data
    problems: Problems
    model: Model
    copying: PlainTraining
    adding: PlainTraining
    language_modeling: PlainTraining
    clipping: PlainTraining
    evaluation: Evaluation
    export: Export

    @pydantic.model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        headline, kinds = self.evaluation.headline, self.model.kinds
        if headline not in kinds or len(set(kinds)) < len(kinds):
            raise ValueError(
                f"`model.kinds` must be different networks, among them evaluation.headline={headline}. "
                f"Received: model.kinds={list(kinds)}"
            )
        for name, lags in (("problems.lags", self.problems.lags), ("evaluation.lags", self.evaluation.lags)):
            if not lags or min(lags) < 2 or list(lags) != sorted(set(lags)):
                raise ValueError(f"`{name}` must be at least one lag, ascending, from 2. Received: {name}={list(lags)}")
        return self
