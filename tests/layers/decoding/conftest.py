"""A language model small enough to list all it could write, and slow searches through it."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

END = 2


class TableModel:
    """Looks up the next token's logits under the last three tokens, in a random table."""

    def __init__(self, vocabulary_size, seed, spread=1.5):
        shape = [vocabulary_size] * 4
        self.table = np.random.default_rng(seed).normal(size=shape, scale=spread).astype("float32")
        self.advances = tf.Variable(0, trainable=False)

    def start(self, tokens, lengths, capacity):
        padded = tf.pad(tokens, [[0, 0], [3, 0]])
        recent = tf.gather(padded, lengths[:, None] + tf.range(3), axis=1, batch_dims=1)
        return tf.gather_nd(self.table, recent), {"first": recent[:, 0], "others": (recent[:, 1:],)}

    def advance(self, tokens, state):
        self.advances.assign_add(1)
        recent = tf.concat([state["others"][0], tokens[:, None]], axis=1)
        return tf.gather_nd(self.table, recent), {"first": recent[:, 0], "others": (recent[:, 1:],)}

    def logits(self, tokens):
        """Returns the logits of the token that follows a list of tokens."""
        return self.table[tuple([0, 0, 0, *tokens][-3:])]


def log_softmax(logits):
    logits = np.asarray(logits, "float64")
    return logits - np.log(np.sum(np.exp(logits - logits.max()))) - logits.max()


def score(log_probability, length, penalty):
    return log_probability / ((5 + length) / 6) ** penalty


@pytest.fixture
def table_model():
    return TableModel


class Slow:
    """A single row's search in plain Python.

    `next_log_probabilities` maps the list of what was written to an array `[V]`.
    """

    def __init__(self, next_log_probabilities, length, penalty):
        self.next, self.length, self.penalty = next_log_probabilities, length, penalty

    def _grown(self, written, log_probability):
        """Yields the log-probability of each text that is one token longer, the text, and whether it is complete."""
        for token, change in enumerate(self.next(written)):
            if change > -np.inf:
                grown = [*written, token]
                yield log_probability + change, grown, token == END or len(grown) == self.length

    def _result(self, log_probability, written):
        tokens = written[:-1] if written[-1] == END else written
        return score(log_probability, len(written), self.penalty), tokens + [0] * (self.length - len(tokens))

    def all_texts(self):
        """Returns all complete texts with their scores, the best first."""
        unfinished, complete = [(0.0, [])], []
        while unfinished:
            grown = list(itertools.chain(*(self._grown(written, total) for total, written in unfinished)))
            complete += [self._result(total, written) for total, written, done in grown if done]
            unfinished = [(total, written) for total, written, done in grown if not done]
        return sorted(complete, reverse=True)

    def beam(self, num_beams):
        """Returns the results of a beam search that never stops early, the best first."""
        unfinished, complete = [(0.0, [])], []
        for _ in range(self.length):
            grown = list(itertools.chain(*(self._grown(written, total) for total, written in unfinished)))
            grown.sort(key=lambda entry: -entry[0])
            complete += [self._result(total, written) for total, written, done in grown[:num_beams] if done]
            unfinished = [(total, written) for total, written, done in grown if not done][:num_beams]
        return sorted(complete, reverse=True)


@pytest.fixture
def slow():
    return Slow


@pytest.fixture
def log_probabilities():
    return log_softmax


@pytest.fixture
def padded():
    """Returns prompts as one array, and their lengths."""

    def pad(prompts):
        lengths = np.array([len(prompt) for prompt in prompts], "int32")
        return np.array([prompt + [0] * (lengths.max() - len(prompt)) for prompt in prompts], "int32"), lengths

    return pad
