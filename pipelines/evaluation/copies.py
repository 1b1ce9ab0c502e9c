"""How much of generated text is copied from the training text.

The memory is bounded by the generated text: its n-grams are kept as hashes, and the training text is read past them in
blocks, once for each length. A match of hashes is confirmed by comparing the tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ikelos.pipelines.console import Progress
from ikelos.pipelines.report.sections import Column, Section, Table

_BLOCK = 1 << 20
"""Training tokens that are hashed at a time, of 8 bytes each."""
_BITS, _SHIFT = 20, np.uint64(64 - 20)
_FACTOR = np.array([0x9E3779B97F4A7C15], np.uint64)
"""An odd number, so that products modulo 2**64 lose nothing; that of the golden ratio, as in Fibonacci hashing."""


def measure(texts: Mapping[str, Sequence[np.ndarray]], training: np.ndarray, lengths: Sequence[int]) -> dict[str, Any]:
    """Returns the share of n-grams that occur in the training text, and the longest match, of each kind of text.

    Args:
        texts: Texts of each kind by its name, int arrays `[n]`.
        training: Training tokens, int `[N]`, which may be mapped from a file.
        lengths: Lengths of the n-grams, in tokens.

    Returns:
        `training_tokens`, their number, and `texts`, by the kind of text: `tokens`, their number; `shares` by length,
        of the places at which an n-gram of this length begins, None if all texts are shorter; and `longest`, the length
        of the longest part of a text that occurs in the training text.
    """
    with Progress("copies of training text"):
        found = {
            name: {
                "tokens": sum(map(len, some)),
                "shares": {str(length): share(some, training, length) for length in lengths},
                "longest": longest(some, training),
            }
            for name, some in texts.items()
        }
    return {"training_tokens": len(training), "texts": found}


def share(texts: Sequence[np.ndarray], training: np.ndarray, length: int) -> float | None:
    """Returns the share of the texts' n-grams of a length that occur in the training text; None without n-grams."""
    long = [np.asarray(text) for text in texts if len(text) >= length]
    if not long:
        return None
    hashes = np.concatenate([_hashes(text, length) for text in long])
    grams = np.concatenate([np.lib.stride_tricks.sliding_window_view(text, length) for text in long])
    return float(np.mean(_occur(grams, hashes, training)))


def longest(texts: Sequence[np.ndarray], training: np.ndarray) -> int:
    """Returns the length of the longest part of a text that occurs in the training text, by bisection."""
    low, high = 0, min(max(map(len, texts), default=0), len(training))
    while low < high:
        middle = (low + high + 1) // 2
        if share(texts, training, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _occur(grams: np.ndarray, hashes: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Returns which n-grams `[n,k]`, with the hashes `[n]`, occur in the training text, bool `[n]`."""
    length, found = grams.shape[1], np.zeros(len(grams), bool)
    # A table of the first bits rules out most places at once, a hundred times as fast as a search.
    table = np.zeros(1 << _BITS, bool)
    table[hashes >> _SHIFT] = True
    for begin in range(0, len(training) - length + 1, _BLOCK):
        block = np.asarray(training[begin : begin + _BLOCK + length - 1])
        here = _hashes(block, length)
        likely = np.flatnonzero(table[here >> _SHIFT])
        places = likely[np.isin(here[likely], hashes)]
        _, first = np.unique(here[places], return_index=True)
        for place in places[first]:
            same = np.flatnonzero(hashes == here[place])
            found[same] |= (grams[same] == block[place : place + length]).all(axis=1)
    return found


def _hashes(tokens: np.ndarray, length: int) -> np.ndarray:
    """Returns the hash of each n-gram of a length, uint64 `[n - length + 1]`: a polynomial modulo 2**64.

    Hashes of n-grams twice as long come from those of their halves, so that a length of k takes log2(k) steps.
    """
    # A token is spread over all bits first: the polynomial of small numbers would collide.
    part = (tokens.astype(np.uint64) + np.uint64(1)) * _FACTOR
    part ^= part >> np.uint64(29)
    part *= np.uint64(0xBF58476D1CE4E5B9)
    part ^= part >> np.uint64(32)
    result, done, size, factor = np.zeros(len(tokens) + 1, np.uint64), 0, 1, _FACTOR
    while True:
        if length & size:
            count = len(tokens) - done - size + 1
            result = result[:count] * factor + part[done : done + count]
            done += size
        if 2 * size > length:
            return result
        part = part[: len(part) - size] * factor + part[size:]
        factor, size = factor * factor, 2 * size


def section(found: Mapping[str, Any]) -> list[Section]:
    """Returns the report's section with the results of `measure`; an empty list if there are none."""
    if not found:
        return []
    texts = found["texts"]
    lengths = list(next(iter(texts.values()))["shares"])
    return [
        Table(
            heading="Copies of the training text",
            prose=[
                f"Share of the n-grams of each text that also occur in {found['training_tokens']:,} training tokens, "
                "and the longest part that does. People quote and repeat themselves too: compare with the test text."
            ],
            columns=[
                Column("Text"),
                Column("Tokens", ",d"),
                *(Column(f"{length} tokens", ".1%") for length in lengths),
                Column("Longest match", ",d"),
            ],
            rows=[
                [name, one["tokens"], *(one["shares"][length] for length in lengths), one["longest"]]
                for name, one in texts.items()
            ],
        )
    ]
