"""Counts all n-grams of a list of documents, in NumPy.

The counts form a trie with one sorted array of keys per length. An n-gram is the integer `context * vocabulary_size +
token`, where `context` is the index of its first n - 1 tokens among the n-grams that are one token shorter. Nothing is
hashed, so there are no collisions.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Discounts for lengths for which they cannot be estimated because one of the counts of counts is 0, as for the
shortest n-grams of a character model. The values are those of KenLM's `--discount_fallback`."""


@dataclasses.dataclass(frozen=True)
class Level:
    """Distinct n-grams of one length.

    Attributes:
        keys: The n-grams as integers, int64 `[n-grams]`, sorted.
        occurrences: Number of occurrences of each n-gram, int64 `[n-grams]`.
        preceding: Number of distinct tokens that precede each n-gram, int64 `[n-grams]`; None for the longest n-grams.
            The start of a document is one such token.
    """

    keys: np.ndarray
    occurrences: np.ndarray
    preceding: np.ndarray | None


def count(documents: Sequence[np.ndarray], order: int, vocabulary_size: int, most: int | None = None) -> list[Level]:
    """Counts the n-grams of `documents` of lengths 1 to `order`.

    Args:
        documents: Integer arrays `[T]` of ids in `[0, V)`. No n-gram spans two documents. The start of a document is
            a context too; its index is the number of n-grams that are one token shorter.
        order: Length of the longest n-grams.
        vocabulary_size: V.
        most: Largest number of distinct n-grams of all lengths together; lengths that exceed it are dropped, longest
            first. None keeps all.

    Returns:
        One `Level` per length, at least one.

    Raises:
        ValueError: If `order` is less than 1, `documents` is empty, or a document is not an array of ids as above.
    """
    if order < 1:
        raise ValueError(f"`order` must be at least 1. Received: order={order}")
    if len(documents) == 0:
        raise ValueError("`documents` must hold at least one document. Received: none")
    documents = [check_document(document, vocabulary_size) for document in documents]
    lengths = [document.size for document in documents]
    tokens = np.concatenate(documents)
    starts = np.cumsum([0, *lengths[:-1]])

    levels: list[Level] = []
    nodes, size, total = np.empty(0, np.int64), 0, 0
    for _ in range(order):
        keys, first, nodes_here, occurrences = _unique(
            contexts(nodes, tokens.size, size, starts) * vocabulary_size + tokens
        )
        total += keys.size
        if levels and most is not None and total > most:
            break
        if levels:
            # Each distinct n-gram adds one distinct token before its suffix, which is an n-gram of the level below.
            levels[-1] = dataclasses.replace(levels[-1], preceding=np.bincount(nodes[first], minlength=size))
        levels.append(Level(keys, occurrences, None))
        nodes, size = nodes_here, keys.size
    return levels


def check_document(document: np.ndarray, vocabulary_size: int) -> np.ndarray:
    """Returns a document as int64.

    Raises:
        ValueError: If the document is not a non-empty one-dimensional array of ids in `[0, V)`.
    """
    document = np.asarray(document)
    if document.ndim != 1 or document.size == 0 or document.dtype.kind not in "iu":
        raise ValueError(
            "`documents` must be non-empty one-dimensional arrays of token ids. "
            f"Received: shape={document.shape}, dtype={document.dtype}"
        )
    if document.min() < 0 or document.max() >= vocabulary_size:
        raise ValueError(
            f"`documents` must have ids in [0, {vocabulary_size}). "
            f"Received: ids from {document.min()} to {document.max()}"
        )
    return document.astype(np.int64)


def contexts(nodes: np.ndarray, length: int, size: int, starts: Sequence[int] | np.ndarray = (0,)) -> np.ndarray:
    """Returns the context of every token: the index of the n-gram, one token shorter, that ends just before it; int64.

    Args:
        nodes: Indices of the shorter n-grams that end at each token, int64 `[length]`, -1 for unknown ones. Empty on
            the first level, which has a single context, the empty one.
        length: Number of tokens.
        size: Number of shorter n-grams, which is the context at the start of a document.
        starts: Positions at which documents start.
    """
    if not nodes.size:
        return np.zeros(length, np.int64)
    found = np.empty(length, np.int64)
    found[1:] = nodes[:-1]
    found[starts] = size
    return found


def discounts(counts: np.ndarray) -> np.ndarray:
    """Returns the discounts of counts of 0, 1, 2, and 3 or more, float64 `[4]` (Chen and Goodman 1998, eq. 26)."""
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


def _unique(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns unique keys, the index of an occurrence of each, the inverse and the counts, as `np.unique` does.

    `np.unique` finds the first occurrence by a stable sort. Here any occurrence is enough. If key and index fit into
    one integer, these integers are sorted instead. NumPy vectorises that, so it takes half the time of `np.argsort`.
    """
    bits = keys.size.bit_length()
    if keys.max() < 1 << (63 - bits):
        packed = np.sort((keys << bits) | np.arange(keys.size))
        ordered, order = packed >> bits, packed & ((1 << bits) - 1)
    else:
        order = np.argsort(keys)
        ordered = keys[order]
    new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    begins = np.flatnonzero(new)
    inverse = np.empty(keys.size, np.int64)
    inverse[order] = np.cumsum(new) - 1
    return ordered[begins], order[begins], inverse, np.diff(begins, append=keys.size)
