"""Preparation of recordings with transcripts as samples and tokens."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from ikelos.pipelines.audio import pcm, utterances
from ikelos.pipelines.audio.config import AudioSource
from ikelos.pipelines.audio.reading import AudioFault, waveform
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.store import TEXT_COLUMN, Column, Store, text_value
from ikelos.pipelines.data.writing import Sink
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.text import config, encoding, vocabulary
from ikelos.pipelines.text.encoding import VocabularyPreparation
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import END

_SHOWN = 5
_EXAMPLE_FILE = "example.wav"
AUDIO, TOKENS, TEXT, GROUP = "audio", "tokens", "text", "group"
"""Columns of samples, of tokens, and of texts in UTF-8."""


class SpeechPreprocessing(Preprocessing):
    """A vocabulary fitted on the training transcripts, and an example recording.

    Attributes:
        vocabulary: Vocabulary of the transcripts.
        example: WAV file with the first recording of the validation split.
    """

    def __init__(self, vocabulary: Vocabulary, example: bytes):
        super().__init__(name="preprocessing")
        self.vocabulary = vocabulary
        self.example = example

    def save(self, folder: Path) -> None:
        """Writes the vocabulary's files and `example.wav`."""
        self.vocabulary.save(folder)
        (folder / _EXAMPLE_FILE).write_bytes(self.example)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Loads what was saved in a folder."""
        return cls(vocabulary.load(folder), (folder / _EXAMPLE_FILE).read_bytes())


class SpeechPreparation(VocabularyPreparation[SpeechPreprocessing]):
    """Preparation of recordings as samples of one rate, and of their transcripts by a vocabulary that is fitted on
    those of the training split.

    The stores have the ragged columns `audio` (int16) and `tokens` (each text ends with the end-of-text token), and the
    texts themselves in `text` and `group`, uint8. Recordings without a text or without samples are counted and left
    out.
    """

    preprocessing = SpeechPreprocessing
    noun = "recordings"
    reader = utterances.Reader
    recorded_reader = utterances.RecordedReader

    def __init__(self, source: AudioSource, settings: config.Vocabulary, sampling_rate: int, max_seconds: float):
        """Keeps the settings.

        Args:
            source: Section of the source.
            settings: Section of the vocabulary.
            sampling_rate: Samples per second of the stores.
            max_seconds: Longest duration of a recording; a longer one is a fault.
        """
        super().__init__(source, settings)
        self._rate, self._max_seconds = sampling_rate, max_seconds

    def identity(self) -> Any:
        """Returns the settings of samples and vocabulary (or the checksum of a reused one), and the source's state."""
        return [super().identity(), self._rate, self._max_seconds]

    def columns(self, learned: SpeechPreprocessing) -> Mapping[str, Column]:
        """Returns the columns of samples, tokens and texts."""
        tokens = Column(encoding.dtype_for(learned.vocabulary.size), ragged=True)
        return {AUDIO: Column("int16", ragged=True), TOKENS: tokens, TEXT: TEXT_COLUMN, GROUP: TEXT_COLUMN}

    def write(self, learned: SpeechPreprocessing, split: Split, writer: Sink) -> None:
        """Writes the samples and the tokens.

        Raises:
            UserError: If the source cannot be read.
        """
        start = writer.cursor or 0
        for index, utterance in enumerate(self._reader.utterances(split, start), start):
            try:
                samples, text = self._decoded(utterance)
            except AudioFault as fault:
                writer.skip(utterance.name, fault.kind, fault.why)
            else:
                if samples.size and text:
                    tokens = np.append(learned.vocabulary.tokens(text), END)
                    texts = {TEXT: text_value(text), GROUP: text_value(utterance.group)}
                    writer.end(utterance.name, **{AUDIO: samples, TOKENS: tokens}, **texts)
                else:
                    writer.skip_empty()
            writer.read(index + 1, utterance.size)

    def show(self, learned: SpeechPreprocessing, store: Store) -> list[str]:
        """Returns the first transcripts."""
        return store.texts(TEXT, _SHOWN)

    def _example(self) -> bytes:
        """Returns the first recording of the validation split that can be used.

        Raises:
            UserError: If there is none.
        """
        for utterance in self._reader.utterances("validation"):
            with contextlib.suppress(AudioFault):
                samples, text = self._decoded(utterance)
                if samples.size and text:
                    return pcm.wav_file(samples, self._rate)
        raise UserError(f"The split 'validation' of {self.name} must have a recording that can be used.")

    def _decoded(self, utterance: utterances.Utterance) -> tuple[np.ndarray, str]:
        """Returns the samples, int16, and the transcript; raises AudioFault."""
        text = transcript(utterance)
        found = waveform(utterance.audio, self._rate, self._max_seconds)
        return pcm.from_waveform(found), text

    def _texts(self, progress: Callable[[int], None]) -> Iterator[str]:
        for utterance in self._reader.utterances("train"):
            with contextlib.suppress(AudioFault):  # `write` names it
                yield transcript(utterance)
            progress(utterance.size)


def transcript(utterance: utterances.Utterance) -> str:
    """Returns the transcript of a recording, with one space between two words.

    Raises:
        AudioFault: If the recording has a fault already, or the transcript is not UTF-8.
    """
    if utterance.fault:
        raise AudioFault("not a recording", utterance.fault)
    try:
        return utterances.single_spaced(utterance.text)
    except UnicodeDecodeError as error:
        raise AudioFault("not UTF-8", f"has a transcript that is not valid UTF-8: {error.reason}") from None
