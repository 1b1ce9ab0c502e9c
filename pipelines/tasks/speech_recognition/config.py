"""The typed recipe of speech recognition. Imports nothing heavy."""

from typing import Annotated, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.audio.config import AudioSource, Emphasis, Search, SpeechModel, check_spectrogram
from ikelos.pipelines.recipe import sections
from ikelos.pipelines.recipe.sections import NonNegative, PlainTraining, Positive, PositiveFloat, Section, TaskConfig
from ikelos.pipelines.text.config import Vocabulary
from ikelos.pipelines.text.model_sections import LanguageModel, check_language_model


class Data(Section):
    """The recordings and their transcripts.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        vocabulary: Vocabulary of the transcripts, fitted on the training split alone.
        sampling_rate: Samples per second to which all recordings are converted, from 4,000 to 192,000.
        max_seconds: Longest duration of a recording; a longer one is a fault.
        buckets: Greatest length in seconds of the recordings in each bucket, ascending; a batch has recordings of one
            bucket. Training and validation leave out recordings that are longer than the last; the test split has all.
        text_buckets: Greatest length in tokens of the pieces of transcripts in each bucket, for the language model,
            ascending; the last one must be its context.
        emphasis: Groups that are drawn more often in the training of the recogniser.
    """

    source: AudioSource
    vocabulary: Vocabulary
    sampling_rate: Annotated[int, Field(ge=4_000, le=192_000)]
    max_seconds: PositiveFloat
    buckets: tuple[PositiveFloat, ...]
    text_buckets: tuple[Positive, ...]
    emphasis: tuple[Emphasis, ...]

    @pydantic.model_validator(mode="after")
    def _buckets_ascend_and_groups_differ(self) -> Self:
        if not self.buckets or list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"`buckets` must be ascending, at least one. Received: buckets={list(self.buckets)}")
        groups = [emphasis.group for emphasis in self.emphasis]
        if len(set(groups)) < len(groups):
            raise ValueError(f"`emphasis` must have groups that differ. Received: {', '.join(groups)}")
        return self


class Evaluation(sections.Evaluation):
    """Evaluation on the held-out recordings.

    Attributes:
        apart: Groups of the test split that are measured separately only.
        batch_size: Recordings in a batch.
        search: The search, also that of the export.
        bootstraps: Number of samples from which the intervals of the error rates are estimated.
        baseline_recordings: Most training recordings that the nearest-neighbour baseline knows, the first ones.
        shown: Number of test recordings that the report shows.
    """

    apart: tuple[str, ...]
    batch_size: Positive
    search: Search
    bootstraps: Positive
    baseline_recordings: NonNegative
    shown: NonNegative


class Export(sections.Export):
    """Export of the trained model.

    Attributes:
        max_seconds: Longest duration of a recording; a longer one is an error.
        max_bytes: Most bytes of a WAV file; a longer one is an error.
    """

    max_seconds: PositiveFloat
    max_bytes: Positive


class Config(TaskConfig):
    """The recipe of speech recognition.

    Attributes:
        language_model: The language model of the search: Transformer or LSTM.
        language_training: Its training on the training transcripts.
        training: The training of the recogniser.
    """

    TUNABLE = ("model.dropout", "model.freq_mask_size", "model.time_mask_share", "model.freq_warp", "model.time_warp")

    data: Data
    language_model: LanguageModel
    language_training: PlainTraining
    model: SpeechModel
    training: PlainTraining
    evaluation: Evaluation
    export: Export

    @pydantic.model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        if self.data.text_buckets[-1:] != (self.language_model.context,):
            raise ValueError(
                f"the last of `data.text_buckets` must be language_model.context={self.language_model.context}. "
                f"Received: data.text_buckets={list(self.data.text_buckets)}"
            )
        check_spectrogram(self.model, self.data.sampling_rate)
        check_language_model(self.language_model, self.language_training, "language_model", "language_training")
        if self.training.jit_compile:
            raise ValueError(
                "`training.jit_compile` must be false: XLA cannot compile the CTC loss. "
                "Received: training.jit_compile=true"
            )
        return self
