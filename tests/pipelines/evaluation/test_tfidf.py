import numpy as np

from ikelos.pipelines.evaluation import tfidf
from ikelos.pipelines.evaluation.tfidf import TfIdf

AMONG = ["the the the of", "a zebra of the plain", "the plain of the king"]


def test_the_nearest_text_shares_rare_words():
    places, cosines = TfIdf(AMONG).nearest(["the zebra", "king of the", "unknown words", AMONG[1]])
    assert places.tolist() == [1, 2, 0, 1]
    assert cosines[2] == 0
    np.testing.assert_allclose(cosines[3], 1, rtol=1e-6)


def test_blocks_do_not_change_the_nearest_text(monkeypatch):
    among = [*AMONG, AMONG[1], "a king", *AMONG]
    texts = ["the zebra", "king of the", "unknown words", AMONG[1], "a king"]
    whole = TfIdf(among).nearest(texts)
    monkeypatch.setattr(tfidf, "_TEXTS_AT_ONCE", 2)
    monkeypatch.setattr(tfidf, "_KNOWN_AT_ONCE", 3)
    for found, expected in zip(TfIdf(among).nearest(texts), whole, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert whole[0].tolist() == [1, 2, 0, 1, 4]


def test_cosines_are_those_of_the_definition():
    texts = ["zebra zebra king", "the plain"]
    found = TfIdf(AMONG).cosines(texts, AMONG, np.array([[2, 1], [0, 0]]))

    def vector(text):
        words = sorted({word for each in AMONG for word in each.split()})
        frequency = {word: sum(word in each.split() for each in AMONG) for word in words}
        count = np.array([text.split().count(word) for word in words])
        weight = np.where(count > 0, 1 + np.log(np.maximum(count, 1)), 0)
        values = weight * np.array([np.log(4 / (1 + frequency[word])) + 1 for word in words])
        return values / np.linalg.norm(values)

    expected = [[vector(texts[0]) @ vector(AMONG[2]), vector(texts[0]) @ vector(AMONG[1])]]
    expected.append([vector(texts[1]) @ vector(AMONG[0])] * 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
