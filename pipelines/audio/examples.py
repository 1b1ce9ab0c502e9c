"""Which recordings are heard in training: once or more often, alone or one after the other."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Self

import numpy as np
import tensorflow as tf

from ikelos.pipelines.audio.config import Emphasis
from ikelos.pipelines.audio.speech_encoding import GROUP, TEXT, TOKENS
from ikelos.pipelines.data.store import Ragged, Store
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import END, UNKNOWN

_MOST_JOINED = 3
"""Most recordings that follow one another in an example."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """M examples: one recording each, or several that follow one another.

    Attributes:
        recordings: int64, the indices of the recordings of each example.
        tokens: Integers, transcripts, each followed by end-of-text.
        transcripts: Index in `tokens` of each example's transcript, int64 `[M]`.
    """

    recordings: Ragged
    tokens: Ragged
    transcripts: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, tokens: Ragged) -> Self:
        """Returns examples of one recording each.

        Args:
            rows: Indices of the recordings, int64 `[M]`.
            tokens: The transcripts of all recordings, each followed by end-of-text.
        """
        return cls(Ragged(rows, np.arange(len(rows) + 1)), tokens, rows)

    def __len__(self) -> int:
        """Returns M."""
        return len(self.transcripts)

    def __add__(self, other: "Examples") -> "Examples":
        """Returns these examples and then the others."""
        return Examples(
            self.recordings + other.recordings,
            self.tokens + other.tokens,
            np.concatenate([self.transcripts, len(self.tokens) + other.transcripts]),
        )

    def lengths(self, audio: Ragged) -> np.ndarray:
        """Returns the number of samples of each example, int64 `[M]`, given the samples of all recordings."""
        ends = np.cumsum([0, *audio.lengths[self.recordings.values]])
        return np.diff(ends[self.recordings.ends])

    def usable(self, audio: Ragged, longest: int, num_frames: Callable[[tf.Tensor], tf.Tensor]) -> "Examples":
        """Returns the examples that are not too long and have the frames that CTC needs for their tokens: one for each,
        and a blank between equal neighbours.

        Args:
            audio: int16, the samples of all recordings.
            longest: Most samples of an example.
            num_frames: Function from numbers of samples to the network's numbers of frames.
        """
        values, ends = self.tokens.values, self.tokens.ends
        equal = np.concatenate([[0], np.cumsum(values[1:] == values[:-1])])
        needed = self.tokens.lengths - 1 + equal[ends[1:] - 1] - equal[ends[:-1]]
        lengths, numbers = self.lengths(audio), self.recordings.lengths
        fit = (lengths <= longest) & (needed[self.transcripts] <= num_frames(tf.constant(lengths)).numpy())
        recordings = Ragged(self.recordings.values[np.repeat(fit, numbers)], np.cumsum([0, *numbers[fit]]))
        return Examples(recordings, self.tokens, self.transcripts[fit])


def check_emphasis(groups: Collection[str], emphases: Sequence[Emphasis], vocabulary: Vocabulary) -> None:
    """Raises UserError if a section names a group that is not among those of the training split, or joins recordings
    although the vocabulary has no space to stand between their texts."""
    if missing := {emphasis.group for emphasis in emphases} - set(groups):
        raise UserError(
            "`data.emphasis` must name groups of the training split "
            f"({', '.join(sorted(set(groups) - {''})) or 'there are none'}). Received: {', '.join(sorted(missing))}"
        )
    joined = [f"joined={emphasis.joined} for {emphasis.group}" for emphasis in emphases if emphasis.joined]
    if joined and UNKNOWN in vocabulary.tokens(" "):
        raise UserError(
            "`data.emphasis` must have joined: 0 where the vocabulary has no space, which stands between the texts of "
            f"joined recordings. Received: {', '.join(joined)}"
        )


def emphasised(
    store: Store,
    rows: np.ndarray,
    emphases: Sequence[Emphasis],
    vocabulary: Vocabulary,
    held_out: Collection[str],
    seed: int,
) -> Examples:
    """Returns the training examples: all recordings, those of emphasised groups several times, alone and followed by
    others.

    Args:
        store: Store with the recordings.
        rows: Indices of the recordings to take, int64.
        emphases: Sections of the groups.
        vocabulary: The vocabulary, for the transcripts of several recordings.
        held_out: Transcripts that no example may have. Those of several recordings could be among them.
        seed: Decides which recordings follow one another.

    Raises:
        UserError: As in `check_emphasis`.
    """
    tokens = store.ragged(TOKENS)
    if not emphases:
        return Examples.of(rows, tokens)
    groups, texts = np.array(store.texts(GROUP)), store.ragged(TEXT)
    check_emphasis(groups, emphases, vocabulary)
    times = {emphasis.group: emphasis.times for emphasis in emphases}
    alone = Examples.of(np.repeat(rows, [times.get(group, 1) for group in groups[rows]]), tokens)
    several, said = [], []
    for place, emphasis in enumerate(emphases):
        own = rows[groups[rows] == emphasis.group]
        for sequence in _sequences(own, emphasis.joined, np.random.default_rng([seed, place])):
            text = " ".join(bytes(texts[row]).decode() for row in sequence)
            if text not in held_out:
                several.append(sequence)
                said.append(np.append(vocabulary.tokens(text), END).astype(tokens.values.dtype))
    if not several:
        return alone
    return alone + Examples(Ragged.of(several), Ragged.of(said), np.arange(len(several)))


def _sequences(rows: np.ndarray, times: int, draw: np.random.Generator) -> Iterator[np.ndarray]:
    """Yields each of some indices as often as `times` says, followed by one or two others that are drawn at random."""
    for row in np.repeat(rows, times):
        others = rows[rows != row]
        number = min(int(draw.integers(1, _MOST_JOINED)), len(others))
        if number:
            yield np.concatenate([[row], draw.choice(others, number, replace=False)])
