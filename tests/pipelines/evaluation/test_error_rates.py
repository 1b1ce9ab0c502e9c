import numpy as np
import pytest

from ikelos.pipelines.evaluation import error_rates

SAID = ["press one", "hello", "press the pound key now", "no"]
HEARD = ["press won", "hello", "press pound key key now", ""]


def test_rates_are_errors_divided_by_the_words_of_the_references():
    found = error_rates.figures(HEARD, SAID, bootstraps=50)
    # One substitution; one deletion and one insertion, or two substitutions; one deletion.
    assert found["wer"] == pytest.approx(100 * 4 / 9)
    assert found["wer_one_word"] == pytest.approx(100 / 2)
    assert found["wer_several_words"] == pytest.approx(100 * 3 / 7)
    assert (found["recordings"], found["words"]) == (4, 9)
    assert (found["recordings_one_word"], found["recordings_several_words"]) == (2, 2)
    errors, words = error_rates.word_errors(HEARD, SAID)
    assert (errors.tolist(), words.tolist()) == ([1, 0, 2, 1], [2, 1, 5, 1])


def test_characters_are_counted_over_all_texts():
    assert error_rates.character_error_rate(["abd", "x"], ["abc", "xyz"]) == pytest.approx(100 * 3 / 6)


def test_the_interval_is_that_of_the_mean_of_many_recordings():
    draw = np.random.default_rng(1)
    heard = ["a" if wrong else "b" for wrong in draw.random(400) < 0.3]
    found = error_rates.figures(heard, ["b"] * 400, bootstraps=2000)
    low, high = found["wer_interval"]
    deviation = 100 * np.sqrt(0.3 * 0.7 / 400)
    assert (low, high) == pytest.approx((found["wer"] - 1.96 * deviation, found["wer"] + 1.96 * deviation), abs=1)
    assert error_rates.figures(heard, ["b"] * 400, bootstraps=2000) == found
    assert "wer_several_words" not in found
