"""How well a model predicts documents: nats per token from the model, nats and bits per character for people.

Figures per token of models with other vocabularies cannot be compared; figures per character can, if every
model pays for every character. So an unknown token costs what it takes to name the character behind it, and
the end of each text is charged to the characters before it.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.console import counted
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.text.vocabulary.special import UNKNOWN


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """What it cost to predict some text, in nats: `nats` contains `unknown_tokens` times the unknown cost."""

    nats: float
    tokens: int
    unknown_tokens: int
    characters: int

    @property
    def nats_per_character(self) -> float:
        """Mean cost of a character in nats."""
        return self.nats / self.characters

    @property
    def bits_per_character(self) -> float:
        """Mean cost of a character in bits."""
        return self.nats_per_character / math.log(2)

    def figures(self) -> dict[str, float | int]:
        """All of it as plain numbers for a JSON file."""
        return {
            "nats_per_character": self.nats_per_character,
            "bits_per_character": self.bits_per_character,
            **dataclasses.asdict(self),
        }


def token_nll(model: keras.Model, dataset: tf.data.Dataset, total: int) -> Iterator[np.ndarray]:
    """Negative log-likelihood of every token of some documents, in nats, in their order: arrays of some at a time.

    Args:
        model: maps int32 [B, T] to logits [B, T, V].
        dataset: the documents as `windows.strided` cuts them: each token weighs 1 in one window, 0 elsewhere.
        total: number of their tokens.

    Raises:
        ValueError: if `dataset` does not count each token exactly once and in order.
        FloatingPointError: if the model gives a token a likelihood that is not a number.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    def nll(x, y):
        logits = tf.cast(model(x, training=False), tf.float32)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)

    done = 0
    for batch in counted(dataset, "the model's likelihood", "batches", int(dataset.cardinality())):
        row, column = np.nonzero(batch["sample_weight"].numpy())
        place = batch["id"].numpy()[row] + column
        if not np.array_equal(place, np.arange(done, done + len(place))):
            raise ValueError(
                "`dataset` must count each token once and in order, as windows.strided does. "
                f"Received: tokens {place} behind {done} others"
            )
        costs = nll(batch["x"], batch["y"]).numpy()[row, column].astype(np.float64)
        if not np.isfinite(costs).all():
            first = int(np.argmin(np.isfinite(costs)))
            raise FloatingPointError(f"The model's likelihood of token {done + first} of {total} is {costs[first]}.")
        done += len(place)
        yield costs
    if done != total:
        raise ValueError(f"`dataset` must count each token once. Received: {done} of {total} tokens")


def likelihoods(
    nll: Iterable[np.ndarray], documents: Ragged, characters: Sequence[int] | np.ndarray, unknown_cost: float
) -> list[Likelihood]:
    """Each document's likelihood, from the negative log-likelihoods of all tokens in nats.

    Args:
        nll: of all documents' tokens in their order, by `token_nll`, or as minus an n-gram model's log-probabilities
            of one document after the other; in arrays of any lengths.
        documents: the token ids.
        characters: the number of characters of each document's text, without the end-of-text token.
        unknown_cost: nats to name the text behind one unknown token (the vocabulary knows it).

    Raises:
        ValueError: if `nll` is of another number of tokens.
    """
    nats, place = np.zeros(len(documents)), 0
    for costs in nll:
        # A document of no tokens ends where the next one begins: the last of those that begin there holds the token.
        owner = np.searchsorted(documents.ends, np.arange(place, place + len(costs)), side="right") - 1
        if len(costs) and owner[-1] >= len(documents):
            raise ValueError(f"`nll` must be of {documents.ends[-1]} tokens. Received: more")
        np.add.at(nats, owner, costs)
        place += len(costs)
    if place != documents.ends[-1]:
        raise ValueError(f"`nll` must be of {documents.ends[-1]} tokens. Received: {place}")
    result = []
    for cost, document, size in zip(nats, documents, characters, strict=True):
        unknown = int(np.count_nonzero(document == UNKNOWN))
        result.append(Likelihood(float(cost) + unknown * unknown_cost, len(document), unknown, int(size)))
    return result


def together(parts: Iterable[Likelihood]) -> Likelihood:
    """The likelihood of several documents as one: every character weighs the same."""
    return Likelihood(*(sum(column) for column in zip(*map(dataclasses.astuple, parts), strict=True)))
