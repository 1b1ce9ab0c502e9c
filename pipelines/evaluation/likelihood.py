"""Likelihood of documents under a model, in nats and bits per character.

Figures per token cannot be compared between models with different vocabularies. Figures per character can, if they
include the cost of every character. So the cost of an unknown token includes the nats that name the character it stands
for, and the cost of a text's end is shared by its characters.
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
    """The cost of predicting a text in nats; `nats` includes the cost of naming the `unknown_tokens`."""

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
        """Returns all figures as JSON."""
        return {
            "nats_per_character": self.nats_per_character,
            "bits_per_character": self.bits_per_character,
            **dataclasses.asdict(self),
        }


def token_nll(model: keras.Model, dataset: tf.data.Dataset, total: int) -> Iterator[np.ndarray]:
    """Yields the negative log-likelihoods of all tokens of some documents in nats, in order, one array for each batch.

    Args:
        model: Model from int32 `[B,T]` to logits `[B,T,V]`.
        dataset: Batches of `windows.strided`, in which each token has weight 1 in one window and 0 elsewhere.
        total: Number of tokens in the documents.

    Raises:
        ValueError: If `dataset` does not count each token exactly once and in order.
        FloatingPointError: If the likelihood of a token is not finite.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2, autograph=False)
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
    """Returns the likelihood of each document, from the negative log-likelihoods of all tokens.

    Args:
        nll: Negative log-likelihoods in nats of all documents' tokens, in order, in arrays of any lengths: those of
            `token_nll`, or the negated log-probabilities of an n-gram model, document by document.
        documents: Token ids of the documents.
        characters: Number of characters of each document, without the end-of-text token.
        unknown_cost: Nats added for each unknown token; the `unknown_cost` of the vocabulary.

    Raises:
        ValueError: If `nll` and `documents` have different numbers of tokens.
    """
    nats, place = np.zeros(len(documents)), 0
    for costs in nll:
        # An empty document begins where the next one does; of all that begin at a place, the last one has the token.
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
    """Returns the likelihood of several documents as one, in which every character has the same weight."""
    return Likelihood(*(sum(column) for column in zip(*map(dataclasses.astuple, parts), strict=True)))
