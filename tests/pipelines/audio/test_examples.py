import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.audio import ctc_min_frames
from ikelos.pipelines.audio import examples
from ikelos.pipelines.audio.config import Emphasis
from ikelos.pipelines.audio.examples import Examples
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.character import CharacterVocabulary

AUDIO = Ragged.of([np.zeros(length, np.int16) for length in (5, 9, 3, 12, 7, 4)])
TOKENS = Ragged.of([np.array([*row, 2], np.uint16) for row in ([4, 5], [4, 4], [4] * 3, [5], [], [6, 6, 7])])


class Words:
    """A vocabulary whose tokens are the lengths of the words."""

    def tokens(self, text):
        return np.array([len(word) for word in text.split()], np.int32)


class Kept:
    """A store of four recordings."""

    columns = {
        "tokens": TOKENS,
        "text": Ragged.of([np.frombuffer(text, np.uint8) for text in (b"one", b"three", b"seventeen", b"to do")]),
    }

    def texts(self, name):
        assert name == "group"
        return ["a", "b", "a", "a"]

    def ragged(self, name):
        return self.columns[name]


def emphasised(rows, *emphases, held_out=(), seed=0):
    sections = [Emphasis(group=group, times=times, joined=joined) for group, times, joined in emphases]
    return examples.emphasised(Kept(), np.array(rows), sections, Words(), held_out, seed)


def test_examples_that_are_too_long_or_too_fast_cannot_be_used():
    frames = [2, 2, 5, 1, 0, 4]  # Equal neighbours need a frame for a blank between them.
    every = Examples.of(np.arange(6), TOKENS)
    found = every.usable(AUDIO, 9, lambda lengths: tf.constant(frames, lengths.dtype))
    assert found.transcripts.tolist() == [0, 2, 4, 5]
    assert [row.tolist() for row in found.recordings] == [[0], [2], [4], [5]]
    sizes = TOKENS.lengths - 1
    labels = np.stack([np.pad(row[:-1].astype(np.int32), [0, 9 - len(row)]) for row in TOKENS])
    assert ctc_min_frames(labels, sizes).numpy().tolist() == [2, 3, 5, 1, 0, 4]


def test_an_emphasised_group_occurs_several_times():
    found = emphasised([0, 1, 3], ("a", 3, 0))
    assert [row.tolist() for row in found.recordings] == [[0]] * 3 + [[1]] + [[3]] * 3
    assert (found.transcripts.tolist(), found.tokens) == ([0, 0, 0, 1, 3, 3, 3], TOKENS)
    assert emphasised([0, 1, 3]).transcripts.tolist() == [0, 1, 3]


def test_an_unknown_group_is_refused():
    with pytest.raises(UserError, match=r"`data\.emphasis` must name groups .* \(a, b\)\. Received: d"):
        emphasised([0], ("d", 2, 0))
    with pytest.raises(UserError, match=r"\(there are none\)\. Received: d"):
        examples.check_emphasis([""], [Emphasis(group="d", times=1, joined=0)], Words())


def test_recordings_are_not_joined_without_a_space_between_their_texts():
    alone, joined = ([Emphasis(group="a", times=2, joined=number)] for number in (0, 3))
    examples.check_emphasis(["a"], alone, CharacterVocabulary("abc"))
    examples.check_emphasis(["a"], joined, CharacterVocabulary("abc "))
    with pytest.raises(UserError, match=r"must have joined: 0 where the vocabulary has no space.*: joined=3 for a"):
        examples.check_emphasis(["a"], joined, CharacterVocabulary("abc"))


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


def test_joined_recordings_are_used_if_they_fit():
    found = emphasised([0, 1, 2, 3], ("a", 1, 20))
    usable = found.usable(AUDIO, 10, lambda lengths: tf.fill(tf.shape(lengths), tf.constant(99, lengths.dtype)))
    # Recordings 0 and 2 have 8 samples together; 3 alone has 12.
    assert {tuple(sorted(row)) for row in usable.recordings} == {(0,), (1,), (2,), (0, 2)}
    assert [usable.tokens[row].tolist() for row in usable.transcripts[-1:]] == [[9, 3, 2]]
    assert usable.tokens.values.dtype == TOKENS.values.dtype


def test_no_example_has_a_text_that_is_held_out():
    texts = {"one seventeen", "to do one", "seventeen one to do"}
    lengths = {(3, 9), (2, 2, 3), (9, 3, 2, 2)}

    def said(**settings):
        found = emphasised([0, 1, 2, 3], ("a", 1, 30), **settings)
        return {tuple(found.tokens[row][:-1].tolist()) for row in found.transcripts[4:]}

    assert said() >= lengths
    assert said(held_out=texts) == said() - lengths


def test_the_seed_and_the_group_decide_what_follows():
    def drawn(*emphases, seed=0):
        return [row.tolist() for row in emphasised([0, 2, 3], *emphases, seed=seed).recordings]

    assert drawn(("a", 1, 20)) == drawn(("a", 1, 20)) != drawn(("a", 1, 20), seed=1)
    assert drawn(("b", 1, 1), ("a", 1, 20)) != drawn(("a", 1, 20))


def test_a_recording_that_is_alone_in_its_group_is_not_joined():
    assert len(emphasised([0, 1], ("b", 2, 5))) == 3
