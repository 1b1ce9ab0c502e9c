"""The typed recipe of translation. Imports nothing heavy."""

from typing import Literal

from ikelos.pipelines.recipe import sections
from ikelos.pipelines.recipe.sections import (
    BelowOne,
    NonNegative,
    NonNegativeFloat,
    PlainTraining,
    Positive,
    Section,
    TaskConfig,
)
from ikelos.pipelines.text.config import PairSource, Vocabulary
from ikelos.pipelines.text.model_sections import TranslationModel


class Data(Section):
    """The pairs of texts.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        vocabulary: Vocabulary of both sides, fitted on the training split alone.
        buckets: Greatest length in tokens of the texts in each bucket, ascending; a batch has pairs of one bucket.
            Training and validation leave out pairs with a text longer than the last; the test split has all.
    """

    source: PairSource
    vocabulary: Vocabulary
    buckets: tuple[Positive, ...]


class Training(PlainTraining):
    """The training of the model.

    Attributes:
        label_smoothing: Share of each target's probability that is spread evenly over all tokens (Szegedy et al. 2016,
            section 7). The validation loss has it too.
    """

    label_smoothing: BelowOne


class Evaluation(sections.Evaluation):
    """Evaluation on the held-out pairs.

    Attributes:
        headline: Metric by which runs are compared: `chrf`, `bleu` or `exact_match`.
        apart: Groups of the test split that are measured separately only.
        batch_size: Pairs in a batch.
        num_beams: Hypotheses in the beam of the search.
        length_penalty: Exponent of the penalty for short translations; 0 compares probabilities.
        baseline_pairs: Most training pairs that the baselines know, the first ones.
        apertium: Languages of a baseline by Apertium, such as `eng-spa`, for machines where it is installed; or null.
        shown: Number of test pairs that the report shows.
        maps: Number of the shown pairs whose attention the report draws.
    """

    headline: Literal["chrf", "bleu", "exact_match"]
    apart: tuple[str, ...]
    batch_size: Positive
    num_beams: Positive
    length_penalty: NonNegativeFloat
    baseline_pairs: NonNegative
    apertium: str | None
    shown: NonNegative
    maps: NonNegative


class Export(sections.Export):
    """Export of the trained model.

    Attributes:
        max_bytes: Most bytes of a source text; a longer one is an error before it is tokenized.
        max_source: Most tokens of a source text; a longer one is an error.
        max_length: Most tokens of a translation.
    """

    max_bytes: Positive
    max_source: Positive
    max_length: Positive


class Config(TaskConfig):
    """The recipe of translation.

    Attributes:
        model: Transformer or LSTM.
    """

    TUNABLE = ("model.dropout",)

    data: Data
    model: TranslationModel
    training: Training
    evaluation: Evaluation
    export: Export
