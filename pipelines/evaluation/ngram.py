"""An interpolated n-gram model over token ids: the baseline beside every language model.

Interpolated modified Kneser-Ney smoothing (S. F. Chen and J. Goodman, "An Empirical Study of Smoothing
Techniques for Language Modeling", TR-10-98, Harvard, 1998, section 4), computed by NumPy alone. One fit serves every
order: what order n needs below its top level is what order n + 1 needs there too, so `NgramModel.truncated`
costs nothing.

The counts are a trie, one sorted array of keys a level: an n-gram is the integer
`context * vocabulary_size + token`, where `context` is the place of its first n - 1 tokens in the level
below. Nothing is hashed, so nothing collides.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ikelos.pipelines.console import counted

# Taken where a level has too few n-grams for its discounts to be estimated (one of the counts of counts is 0,
# as at the lowest levels of a character model): the same ones as KenLM's `--discount_fallback`.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclasses.dataclass(frozen=True)
class _Smoothing:
    """One level's distributions: `share` of each n-gram, and what each context leaves to shorter ones."""

    share: np.ndarray  # float64 [n-grams of this level]
    backoff: np.ndarray  # float64 [contexts of this level]; 1 where nothing followed the context


@dataclasses.dataclass(frozen=True)
class _Level:
    keys: np.ndarray  # int64 [n-grams of this level], sorted
    top: _Smoothing  # of how often each n-gram occurs: used where this level is the highest
    lower: _Smoothing  # of how many different tokens stand before it: used below; the last level has `top` here too


@dataclasses.dataclass(frozen=True)
class NgramModel:
    """Probabilities of tokens given the `order - 1` tokens before them, for one document at a time."""

    vocabulary_size: int
    levels: tuple[_Level, ...]

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.levels)

    def truncated(self, order: int) -> "NgramModel":
        """The model of a lower `order` fitted on the same documents."""
        if not 1 <= order <= self.order:
            raise ValueError(f"`order` must be between 1 and {self.order}, the fitted order. Received: order={order}")
        return dataclasses.replace(self, levels=self.levels[:order])

    def log_probabilities(self, document: np.ndarray) -> np.ndarray:
        """Natural logarithm of each token's probability given all its predecessors in `document`.

        `document` is int [T], without begin-of-text: the model itself sees the begin of a text before the
        first token. Returns float64 [T].
        """
        return self.log_probabilities_by_order(document)[-1]

    def log_probabilities_by_order(self, document: np.ndarray) -> np.ndarray:
        """As `log_probabilities`, for each order from 1 to `order` in one pass: float64 [order, T]."""
        document = _checked(document, self.vocabulary_size)
        result = np.empty((self.order, document.size))
        probabilities = np.full(document.size, 1.0 / self.vocabulary_size)
        nodes = np.empty(0, np.int64)
        for index, level in enumerate(self.levels):
            contexts = _contexts(nodes, document.size, self.levels[index - 1].keys.size if index else 0)
            nodes = _find(level.keys, contexts, document, self.vocabulary_size)
            result[index] = np.log(_interpolate(level.top, contexts, nodes, probabilities))
            probabilities = _interpolate(level.lower, contexts, nodes, probabilities)
        return result


def fit(documents: Sequence[np.ndarray], order: int, vocabulary_size: int) -> NgramModel:
    """Counts the n-grams of `documents` up to length `order`.

    Each document is int [T] of ids in `[0, vocabulary_size)`, ending in end-of-text; no n-gram reaches from
    one document into the next. On 4.9 million characters of plays order 8 took 8 s and 0.6 GB on one core.
    """
    if order < 1:
        raise ValueError(f"`order` must be at least 1. Received: order={order}")
    if not documents:
        raise ValueError("`documents` must hold at least one document. Received: none")
    documents = [_checked(document, vocabulary_size) for document in documents]
    lengths = [document.size for document in documents]
    tokens = np.concatenate(documents)
    starts = np.cumsum([0, *lengths[:-1]])

    levels: list[_Level] = []
    nodes, size = np.empty(0, np.int64), 0
    for _ in counted(range(order), "counting n-grams", "orders", order):
        contexts = _contexts(nodes, tokens.size, size, starts)
        keys, first, found, counts = np.unique(
            contexts * vocabulary_size + tokens, return_index=True, return_inverse=True, return_counts=True
        )
        if levels:
            # Each distinct n-gram here is one more token seen before its suffix, which is in the level below.
            preceding = np.bincount(nodes[first], minlength=size)
            below = levels[-1]
            levels[-1] = dataclasses.replace(
                below, lower=_smooth(below.keys // vocabulary_size, preceding, below.top.backoff.size)
            )
        top = _smooth(keys // vocabulary_size, counts, size + 1)
        levels.append(_Level(keys, top, lower=top))
        nodes, size = found, keys.size
    return NgramModel(vocabulary_size, tuple(levels))


def best_order(model: NgramModel, validation: Sequence[np.ndarray]) -> tuple[int, list[float]]:
    """The order that predicts `validation` documents best, and every order's mean cost in nats per token."""
    if not validation:
        raise ValueError("`validation` must hold at least one document. Received: none")
    documents = counted(validation, "choosing the order", "documents", len(validation))
    total = sum(model.log_probabilities_by_order(document).sum(axis=1) for document in documents)
    costs = -total / sum(len(document) for document in validation)
    return int(np.argmin(costs)) + 1, costs.tolist()


def _checked(document: np.ndarray, vocabulary_size: int) -> np.ndarray:
    document = np.asarray(document)
    if document.ndim != 1 or document.size == 0 or document.dtype.kind not in "iu":
        raise ValueError(
            "A document must be a non-empty one-dimensional array of token ids. "
            f"Received: shape={document.shape}, dtype={document.dtype}"
        )
    if document.min() < 0 or document.max() >= vocabulary_size:
        raise ValueError(
            f"A document's ids must lie in [0, {vocabulary_size}). "
            f"Received: ids from {document.min()} to {document.max()}"
        )
    return document.astype(np.int64)


def _contexts(nodes: np.ndarray, length: int, size: int, starts: Sequence[int] | np.ndarray = (0,)) -> np.ndarray:
    """The context of every token: the n-gram of the level below that ends before it, -1 if training had none.

    The begin of a text, as many begin-of-text ids as the context is long, is an extra n-gram: `size`. Below the
    first level there is one n-gram, the empty one, and no `nodes`.
    """
    if not nodes.size:
        return np.zeros(length, np.int64)
    contexts = np.empty(length, np.int64)
    contexts[1:] = nodes[:-1]
    contexts[starts] = size
    return contexts


def _find(keys: np.ndarray, contexts: np.ndarray, tokens: np.ndarray, vocabulary_size: int) -> np.ndarray:
    wanted = contexts * vocabulary_size + tokens
    places = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where((keys[places] == wanted) & (contexts >= 0), places, -1)


def _interpolate(smoothing: _Smoothing, contexts: np.ndarray, nodes: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    share = np.where(nodes >= 0, smoothing.share[nodes], 0.0)
    backoff = np.where(contexts >= 0, smoothing.backoff[contexts], 1.0)
    return share + backoff * shorter


def _smooth(contexts: np.ndarray, counts: np.ndarray, contexts_size: int) -> _Smoothing:
    """Discounts the `counts` of n-grams with the given `contexts` (both int [n-grams])."""
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    totals = np.bincount(contexts, weights=counts, minlength=contexts_size)
    taken = np.bincount(contexts, weights=discounts, minlength=contexts_size)
    backoff = np.divide(taken, totals, out=np.ones(contexts_size), where=totals > 0)
    return _Smoothing((counts - discounts) / totals[contexts], backoff)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken from a count of 0, 1, 2, and 3 or more: float64 [4] (Chen and Goodman, equation 26)."""
    once, twice, thrice, four_times = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].tolist()
    if min(once, twice, thrice, four_times) > 0:
        rate = once / (once + 2 * twice)
        estimates = (
            1 - 2 * rate * twice / once,
            2 - 3 * rate * thrice / twice,
            3 - 4 * rate * four_times / thrice,
        )
        if min(estimates) > 0:
            return np.array([0.0, *estimates])
    return np.array([0.0, *FALLBACK_DISCOUNTS])
