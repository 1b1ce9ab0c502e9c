import numpy as np
import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import reply_metrics

CONVERSATIONS = [[f"turn {at} {turn}" for turn in range(6)] + ["Yes.", "yes."] for at in range(8)]
STARTS = np.cumsum([0, *map(len, CONVERSATIONS)])
FLAT = [turn for turns in CONVERSATIONS for turn in turns]


def test_wrong_replies_are_the_same_in_every_run_and_never_the_text_of_the_true_one():
    found = reply_metrics.draw_questions(CONVERSATIONS, 40, 5, seed=3)
    again = reply_metrics.draw_questions([list(turns) for turns in CONVERSATIONS], 40, 5, seed=3)
    for ours, theirs in zip(vars(found).values(), vars(again).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.candidates.shape == (40, 5)
    for at, turn, candidates in zip(found.conversation, found.turn, found.candidates, strict=True):
        assert turn > 0
        assert candidates[0] == STARTS[at] + turn
        assert len({FLAT[index].casefold() for index in candidates}) == 5
        assert not set(candidates) & set(STARTS)
    # Drawn values, so that another version cannot draw others unnoticed.
    assert found.candidates[0].tolist() == [1, 44, 53, 28, 52]
    assert (reply_metrics.draw_questions(CONVERSATIONS, 40, 5, seed=4).candidates != found.candidates).any()


def test_each_reply_is_asked_once_if_there_are_few():
    found = reply_metrics.draw_questions(CONVERSATIONS, 1000, 2, seed=0)
    assert len(set(found.candidates[:, 0].tolist())) == 8 * 7


def test_too_few_different_replies_are_refused():
    with pytest.raises(UserError, match=r"`evaluation\.candidates` must be at most .* evaluation\.candidates=4"):
        reply_metrics.draw_questions([["a", "b", "c"], ["d", "B", "e"]], 4, 4, seed=0)


def test_all_different_replies_can_be_candidates():
    conversations = [["first", *["often"] * 3000, *(f"rare {number}" for number in range(999))]]
    found = reply_metrics.draw_questions(conversations, 1, 1000, seed=0)
    assert len({conversations[0][index] for index in found.candidates[0]}) == 1000


def test_equal_scores_share_the_hit():
    scores = np.array([[3.0, 1, 2], [3, 3, 1], [0, 0, 0], [1, 2, 1]])
    np.testing.assert_allclose(reply_metrics.hits(scores), [1, 1 / 2, 1 / 3, 0])
    assert reply_metrics.figures_of_hits(scores)["hits"] == pytest.approx(11 / 24)


def test_distinct_counts_different_ngrams():
    assert reply_metrics.distinct(["a b A b", "b c"], 1) == 3 / 6
    assert reply_metrics.distinct(["a b A b", "b c"], 2) == 3 / 4
    assert reply_metrics.distinct(["a"], 2) == 0
