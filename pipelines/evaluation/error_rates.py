"""Error rates of recognised texts, by jiwer.

The word error rate (WER) is the number of words to substitute, delete and insert, divided by the number of words in the
references; the character error rate (CER) is that of characters. Both are in percent.
"""

from collections.abc import Sequence

import numpy as np

Figures = dict[str, float | int | list[float]]


def figures(texts: Sequence[str], references: Sequence[str], bootstraps: int) -> Figures:
    """Returns WER and CER of some texts, and WER of references with one word and with several.

    Args:
        texts: The recognised texts.
        references: What was said, at least one; none is empty.
        bootstraps: Number of samples, drawn with replacement, of the bootstrap (Efron 1979) of the recordings; from
            them comes `wer_interval`, the middle 95% of the WER.
    """
    errors, words = word_errors(texts, references)
    rates = []
    draw = np.random.default_rng(0)
    for _ in range(bootstraps):
        drawn = draw.integers(0, len(words), len(words))
        rates.append(100 * errors[drawn].sum() / words[drawn].sum())
    found: Figures = {
        "wer": _rate(errors, words),
        "wer_interval": np.percentile(rates, [2.5, 97.5]).tolist(),
        "cer": character_error_rate(texts, references),
        "recordings": len(references),
        "words": int(words.sum()),
    }
    for name, chosen in (("one_word", words == 1), ("several_words", words > 1)):
        if chosen.any():
            found |= {f"wer_{name}": _rate(errors[chosen], words[chosen]), f"recordings_{name}": int(chosen.sum())}
    return found


def word_errors(texts: Sequence[str], references: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the number of wrong words of each text, and that of the words of its reference, int64 `[N]` each."""
    import jiwer

    found = [jiwer.process_words(theirs, ours) for ours, theirs in zip(texts, references, strict=True)]
    errors = [one.substitutions + one.deletions + one.insertions for one in found]
    return np.array(errors, np.int64), np.array([len(text.split()) for text in references], np.int64)


def character_error_rate(texts: Sequence[str], references: Sequence[str]) -> float:
    """Returns the CER of all texts together."""
    import jiwer

    return 100 * jiwer.cer(list(references), list(texts))


def _rate(errors: np.ndarray, words: np.ndarray) -> float:
    return float(100 * errors.sum() / words.sum())
