import numpy as np
import pytest

from ikelos.pipelines.evaluation import copies


def occurs(gram, training):
    return bytes(gram) in bytes(training)


@pytest.fixture
def training():
    return np.random.default_rng(0).integers(0, 4, 3000).astype(np.uint8)


@pytest.fixture
def texts(training):
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, 4, size).astype(np.uint8) for size in (40, 7, 60)]
    return [*drawn, np.concatenate([drawn[0][:9], training[2959:], drawn[0][:9]])]


@pytest.mark.parametrize("block", [50, 1 << 20])
@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 16, 41, 90])
def test_shares_are_those_of_a_search(texts, training, monkeypatch, block, length):
    monkeypatch.setattr(copies, "_BLOCK", block)
    grams = [text[at : at + length] for text in texts for at in range(len(text) - length + 1)]
    expected = np.mean([occurs(gram, training) for gram in grams]) if grams else None
    assert copies.share(texts, training, length) == (expected if grams else None)


def test_the_longest_match_reaches_the_end_of_the_training_text(texts, training):
    assert copies.longest(texts, training) >= 41
    assert copies.longest(texts[1:2], training) == max(
        size for size in range(8) for at in range(8 - size) if occurs(texts[1][at : at + size], training)
    )
    assert copies.longest([np.array([9, 9], np.uint8)], training) == 0


def test_the_table_has_a_row_for_each_kind_of_text(texts, training):
    found = copies.measure({"generated": texts, "none": []}, training, [4, 100])
    assert found["training_tokens"] == 3000
    assert found["texts"]["generated"]["tokens"] == sum(map(len, texts))
    assert found["texts"]["generated"]["shares"]["100"] is None
    assert found["texts"]["none"] == {"tokens": 0, "shares": {"4": None, "100": None}, "longest": 0}
    (table,) = copies.section(found)
    assert [row[0] for row in table.rows] == ["generated", "none"]
    assert copies.section({}) == []
