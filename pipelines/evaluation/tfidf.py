"""Similarity of texts by TF-IDF vectors of their words (Salton and Buckley 1988), with logarithmic frequencies."""

import re
from collections.abc import Sequence

import numpy as np

_AT_ONCE = 256
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
        found, cosines = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        for start in range(0, len(texts), _AT_ONCE):
            similar = (self._vectors.transform(texts[start : start + _AT_ONCE]) @ self._known).toarray()
            found.append(similar.argmax(axis=1))
            cosines.append(similar.max(axis=1))
        return np.concatenate(found), np.concatenate(cosines)

    def cosines(self, texts: Sequence[str], others: Sequence[str], indices: np.ndarray) -> np.ndarray:
        """Returns the cosine of each text and some of the others, float `[n,K]`, as `indices`, int `[n,K]`, chooses."""
        ours, theirs = self._vectors.transform(texts), self._vectors.transform(others)
        rows = np.repeat(np.arange(len(texts)), indices.shape[1])
        products = ours[rows].multiply(theirs[indices.reshape(-1)]).sum(axis=1)
        return np.asarray(products).reshape(indices.shape)
