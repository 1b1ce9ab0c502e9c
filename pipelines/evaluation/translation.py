"""Measures of translations against references, by sacrebleu, and baselines without a network.

chrF (Popovic 2015) is the F-score of character n-grams up to 6, BLEU (Papineni et al. 2002) that of words up to 4, both
over all texts together and from 0 to 100. The signatures in the figures say with which settings.
"""

import collections
from collections.abc import Iterator, Sequence

import numpy as np

from ikelos.pipelines.console import counted
from ikelos.pipelines.evaluation.tfidf import WORD

Figures = dict[str, float | int | str]
_ROUNDS = 5
"""Rounds of expectation-maximization: Brown et al. 1993 used as many."""


def figures(translations: Sequence[str], references: Sequence[str]) -> Figures:
    """Returns chrF, BLEU and the share of exact matches of translations, and the signatures of the first two."""
    from sacrebleu import metrics

    chrf, bleu = metrics.CHRF(), metrics.BLEU()
    matches = sum(ours == theirs for ours, theirs in zip(translations, references, strict=True))
    return {
        "chrf": chrf.corpus_score(translations, [references]).score,
        "bleu": bleu.corpus_score(translations, [references]).score,
        "exact_match": 100 * matches / len(references),
        "pairs": len(references),
        "chrf_signature": str(chrf.get_signature()),
        "bleu_signature": str(bleu.get_signature()),
    }


class Lexicon:
    """Translation word by word: each source word becomes its most probable target word by IBM model 1 (Brown et al.
    1993, section 4.1), in the order of the source. Unknown words are copied.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]):
        """Estimates the probabilities from pairs of texts."""
        source_ids: dict[str, int] = collections.defaultdict(lambda: len(source_ids))
        target_ids: dict[str, int] = collections.defaultdict(lambda: len(target_ids))
        encoded = [
            (
                np.array([source_ids[word] for word in words(source)], np.int64),
                np.array([target_ids[word] for word in words(target)], np.int64),
            )
            for source, target in pairs
        ]
        # Each pair of a source word and a target word in one pair of texts is a row, so that a round is a few sums.
        source = np.concatenate([np.tile(ours, len(theirs)) for ours, theirs in encoded])
        target = np.concatenate([np.repeat(theirs, len(ours)) for ours, theirs in encoded])
        # Number of the target word that a row belongs to.
        sizes = [np.full(len(theirs), len(ours)) for ours, theirs in encoded]
        place = np.repeat(np.arange(sum(map(len, sizes))), np.concatenate(sizes))
        keys, row = np.unique(source * len(target_ids) + target, return_inverse=True)
        of_source = keys // len(target_ids)
        probability = np.ones(len(keys))
        for _ in range(_ROUNDS):
            weights = probability[row]
            weights /= np.bincount(place, weights, minlength=place[-1] + 1)[place]
            counts = np.bincount(row, weights, minlength=len(keys))
            probability = counts / np.bincount(of_source, counts)[of_source]
        # The last row of a source word after sorting by probability is its best.
        names, order = list(target_ids), np.lexsort((probability, of_source))
        last = order[np.flatnonzero(np.append(np.diff(of_source[order]) > 0, True))]
        found = dict(zip(of_source[last], (keys % len(target_ids))[last], strict=True))
        self._best = {word: names[found[index]] for word, index in source_ids.items() if index in found}

    def translate(self, text: str) -> str:
        """Returns the words' translations, with a space between two words and none before other characters."""
        found = [self._best.get(word, word) for word in words(text)]
        return "".join(f" {word}" if index and word[0].isalnum() else word for index, word in enumerate(found))


def words(text: str) -> list[str]:
    """Returns the words of a text, and each other character that is no space."""
    return WORD.findall(text)


def translated_by_lexicon(texts: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yields the translations of texts by a lexicon of `pairs`."""
    lexicon = Lexicon(pairs)
    return map(lexicon.translate, counted(texts, "the lexicon's translations", "texts", len(texts)))
