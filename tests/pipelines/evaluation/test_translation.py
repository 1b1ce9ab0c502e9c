import numpy as np
import pytest

from ikelos.pipelines.evaluation import translation


def test_figures_of_perfect_and_of_unrelated_translations():
    references = ["the cat sat on the mat .", "a dog barks at the cat ."]
    perfect = translation.figures(references, references)
    assert (perfect["chrf"], perfect["exact_match"], perfect["pairs"]) == (100, 100, 2)
    assert perfect["bleu"] == pytest.approx(100)
    assert perfect["chrf_signature"].startswith("nrefs:1")
    half = translation.figures([references[0], "zzz"], references)
    assert half["exact_match"] == 50
    assert 0 < half["chrf"] < 100
    assert translation.figures(["q", "q"], references)["chrf"] == 0


def test_bleu_is_that_of_its_definition():
    # Papineni et al. 2002: all n-gram precisions 1, so the brevity penalty alone remains.
    found = translation.figures(["a b c d e f"], ["a b c d e f g h"])["bleu"]
    assert found == pytest.approx(100 * np.exp(1 - 8 / 6))


def test_a_lexicon_learns_words_from_pairs():
    nouns = {"cat": "Katze", "dog": "Hund", "cow": "Kuh", "sheep": "Schaf"}
    verbs = {"sleeps": "schläft", "eats": "frisst", "runs": "läuft"}
    pairs = [(f"the {a} {b}.", f"das {nouns[a]} {verbs[b]}.") for a in nouns for b in verbs]
    pairs += [("the cat", "das Katze"), ("dog.", "Hund."), ("sheep eats, cow runs", "Schaf frisst, Kuh läuft")]
    lexicon = translation.Lexicon(pairs)
    assert lexicon.translate("the sheep eats, the unicorn runs.") == "das Schaf frisst, das unicorn läuft."
    assert list(translation.translated_by_lexicon(["cow", ""], pairs)) == ["Kuh", ""]
