"""Similarity of texts by TF-IDF vectors of their words (Salton and Buckley 1988), with logarithmic frequencies."""

import re
from collections.abc import Sequence

import numpy as np

_TEXTS_AT_ONCE, _KNOWN_AT_ONCE = 256, 1 << 16
"""Limit the cosines of `nearest` to 64 MiB, however many texts were counted."""
WORD = re.compile(r"\w+|[^\w\s]", re.UNICODE)
"""A word, or another character that is no space."""


class TfIdf:
    """TF-IDF vectors of words, whose document frequencies are those of some texts."""

    def __init__(self, texts: Sequence[str]):
        """Counts the words of the texts."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectors = TfidfVectorizer(token_pattern=WORD.pattern, sublinear_tf=True, dtype=np.float32)
        self._known = self._vectors.fit_transform(texts).T.tocsc()

    def nearest(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the index of the nearest counted text to each of `texts`, int64 `[n]`, and their cosine, `[n]`.

        Of equally near texts, the first is taken.
        """
        nearest, cosines = np.zeros(len(texts), np.int64), np.full(len(texts), -1, np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            rows = slice(start, start + _TEXTS_AT_ONCE)
            ours = self._vectors.transform(texts[rows])
            for first in range(0, self._known.shape[1], _KNOWN_AT_ONCE):
                similar = (ours @ self._known[:, first : first + _KNOWN_AT_ONCE]).toarray()
                best = similar.max(axis=1)
                is_nearer = best > cosines[rows]
                nearest[rows][is_nearer] = first + similar.argmax(axis=1)[is_nearer]
                cosines[rows][is_nearer] = best[is_nearer]
        return nearest, cosines

    def cosines(self, texts: Sequence[str], others: Sequence[str], indices: np.ndarray) -> np.ndarray:
        """Returns the cosine of each text and some of the others, float `[n,K]`, as `indices`, int `[n,K]`, chooses."""
        ours, theirs = self._vectors.transform(texts), self._vectors.transform(others)
        rows = np.repeat(np.arange(len(texts)), indices.shape[1])
        products = ours[rows].multiply(theirs[indices.reshape(-1)]).sum(axis=1)
        return np.asarray(products).reshape(indices.shape)
