import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.evaluation import by_lag
from ikelos.pipelines.sequences.problems import TEST, Adding, Copying, one_batch_per_lag


@pytest.mark.parametrize(("problem", "chance"), [(Copying(4, 3), 1 / 4), (Adding(0.04), 1 - 0.96**2)])
def test_the_truth_is_right_and_guessing_is_not(problem, chance):
    truth = iter(list(one_batch_per_lag(problem, [4, 9], 2000, 0, TEST)))

    def answer(_):
        y = next(truth)["y"]
        return tf.one_hot(y, 4) if y.dtype == tf.int32 else y

    assert by_lag.accuracy(problem, answer, [4, 9], 2000, 0) == [(4, 100), (9, 100)]
    guessed = by_lag.accuracy(problem, problem.guess, [4, 9], 2000, 0)
    np.testing.assert_allclose([percentage for _, percentage in guessed], 100 * chance, atol=3)


def test_the_section_has_a_panel_for_each_problem():
    found = by_lag.section(
        {"Copying": {"LSTM": [(2, 50.0), (4, 12.5)]}, "Adding": {"LSTM": [(2, 9.0)]}},
        {"Copying": 25.0, "Adding": 8.0},
    )
    assert found.alt == "Copying by lag: LSTM 50.0 to 12.5. Adding by lag: LSTM 9.0 to 9.0"
    assert [axes.get_title(loc="left") for axes in found.figure.axes] == ["Copying", "Adding"]
