import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.audio import ctc_min_frames
from ikelos.pipelines.audio import examples
from ikelos.pipelines.audio.config import Emphasis
from ikelos.pipelines.audio.examples import Examples
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.errors import UserError

AUDIO = Ragged.of([np.zeros(length, np.int16) for length in (5, 9, 3, 12, 7, 4)])
TOKENS = Ragged.of([np.array([*row, 2], np.uint16) for row in ([4, 5], [4, 4], [4] * 3, [5], [], [6, 6, 7])])


class Words:
    """A vocabulary whose tokens are the lengths of the words."""

    def tokens(self, text):
        return np.array([len(word) for word in text.split()], np.uint16)


class Kept:
    """A store of four recordings."""

    def texts(self, name):
        return {"group": ["a", "b", "a", "a"], "text": ["one", "three", "seventeen", "to do"]}[name]

    def ragged(self, name):
        assert name == "tokens"
        return TOKENS


def emphasised(rows, *emphases):
    sections = [Emphasis(group=group, times=times, joined=joined) for group, times, joined in emphases]
    return examples.emphasised(Kept(), np.array(rows), sections, Words(), seed=0)


def test_examples_that_are_too_long_or_too_fast_do_not_fit():
    frames = [2, 2, 5, 1, 0, 4]  # Equal neighbours need a frame for a blank between them.
    every = Examples.of(np.arange(6), TOKENS)
    fit = every.fit(AUDIO, 9, lambda lengths: tf.constant(frames, lengths.dtype))
    assert fit.tolist() == [True, False, True, False, True, True]
    assert every.only(fit).transcripts.tolist() == [0, 2, 4, 5]
    assert [row.tolist() for row in every.only(fit).recordings] == [[0], [2], [4], [5]]
    sizes = TOKENS.lengths - 1
    labels = np.stack([np.pad(row[:-1].astype(np.int32), [0, 9 - len(row)]) for row in TOKENS])
    assert ctc_min_frames(labels, sizes).numpy().tolist() == [2, 3, 5, 1, 0, 4]


def test_an_emphasised_group_occurs_several_times():
    found = emphasised([0, 1, 3], ("a", 3, 0))
    assert [row.tolist() for row in found.recordings] == [[0]] * 3 + [[1]] + [[3]] * 3
    assert (found.transcripts.tolist(), found.tokens) == ([0, 0, 0, 1, 3, 3, 3], TOKENS)
    with pytest.raises(UserError, match=r"`data\.emphasis` must name groups .*: a, b\. Received: d"):
        emphasised([0], ("d", 2, 0))


def test_others_of_the_group_follow_a_recording_and_their_texts_its_text():
    found = emphasised([0, 1, 2, 3], ("a", 1, 20))
    recordings = [row.tolist() for row in found.recordings]
    alone, joined = recordings[:4], recordings[4:]
    assert alone == [[0], [1], [2], [3]]
    assert [row[0] for row in joined] == [0] * 20 + [2] * 20 + [3] * 20
    assert {tuple(sorted(row)) for row in joined} == {(0, 2), (0, 3), (2, 3), (0, 2, 3)}
    assert all(len(set(row)) == len(row) for row in joined)
    sizes = {0: [3], 2: [9], 3: [2, 2]}
    for row, transcript in zip(joined, found.transcripts[4:], strict=True):
        expected = [size for index in row for size in sizes[index]]
        assert found.tokens[transcript].tolist() == [*expected, 2]
    audio = Ragged.of([np.zeros(10**place, np.int16) for place in range(4)])
    assert found.lengths(audio).tolist() == [1, 10, 100, 1000, *(sum(10**index for index in row) for row in joined)]


def test_the_seed_decides_what_follows():
    assert emphasised([0, 1, 2, 3], ("a", 1, 20)).recordings.values.tolist() == (
        emphasised([0, 1, 2, 3], ("a", 1, 20)).recordings.values.tolist()
    )


def test_a_recording_that_is_alone_in_its_group_is_not_joined():
    assert len(emphasised([0, 1], ("b", 2, 5))) == 3
