import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import ReplyRanker, TransformerLanguageModel
from ikelos.pipelines.data import preparation
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.evaluation import ngram, reply_baselines, reply_metrics, reply_scores
from ikelos.pipelines.evaluation.reply_scores import Turns
from ikelos.pipelines.evaluation.tfidf import TfIdf
from ikelos.pipelines.text import replying
from ikelos.pipelines.text.config import TurnSource, Vocabulary
from ikelos.pipelines.text.turn_encoding import TurnPreparation, vocabulary_size
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, SPECIAL, UNKNOWN

SPLITS = ("train", "validation", "test")
WORDS = ["apple", "bear", "cat", "dog", "eel", "fox"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Prepared conversations, in which each reply repeats a word of the turn before."""
    folder = tmp_path_factory.mktemp("conversations")
    for split in SPLITS:
        lines = [
            {"turns": [f"a {word} there", f"{word}? {other}!", f"the {other}", "yes"]}
            for word, other in zip(WORDS, WORDS[2:] + WORDS[:2], strict=True)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    files = {split: [f"{folder}/{split}.jsonl"] for split in SPLITS}
    source = TurnSource.model_validate_json(json.dumps({"files": files}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IKELOS_CACHE", str(folder / "cache"))
        yield preparation.prepare(TurnPreparation(source, Vocabulary(kind="character", size=None)))


@pytest.fixture(scope="module")
def turns(data):
    return Turns.of(data.splits["test"], data.learned.vocabulary)


@pytest.fixture(scope="module")
def questions(turns):
    return reply_metrics.draw_questions(turns.texts, 8, 3, seed=0)


@pytest.fixture(scope="module")
def size(data):
    return vocabulary_size(data.learned.vocabulary)


@pytest.fixture(scope="module")
def model(size):
    found = TransformerLanguageModel(size, context=64, num_layers=1, size=16, num_heads=2, hidden_size=24)
    found.build((None, 64))
    rng = np.random.default_rng(0)
    for weight in found.trainable_variables:
        weight.assign(weight + rng.normal(size=weight.shape, scale=0.2))
    return found


def log_likelihood(model, before, reply):
    tokens = np.concatenate([before, reply]).astype(np.int32)
    logits = tf.nn.log_softmax(model(tokens[None, :-1])[0]).numpy()
    return sum(logits[at - 1, tokens[at]] for at in range(len(before), len(tokens)))


def texts_of(turns, questions, question):
    """Returns the history of a question up to the role of the reply, its beginning and the role, and the candidates."""
    at, turn = questions.conversation[question], questions.turn[question]
    index = turns.starts[at] + turn
    history = turns.tokens.values[turns.tokens.ends[at] : turns.begins[index] + 1]
    return history, history[[0, -1]], [turns.reply(index, 99) for index in questions.candidates[question]]


def test_turns_are_found_in_the_tokens(data, turns):
    words = data.learned.vocabulary
    assert turns.texts[1] == ["a bear there", "bear? dog!", "the dog", "yes"]
    for index in (0, 5, 23):
        np.testing.assert_array_equal(turns.reply(index, 99), [*words.tokens(turns.flat[index]), END])
    assert turns.reply(0, 3).tolist() == words.tokens("a a").tolist()
    assert turns.words == sum(len(turn.split()) for turn in turns.flat) == 6 * 8
    assert turns.is_counted.sum() == sum(len(turn) + 1 for turn in turns.flat)


def test_histories_have_a_turn_in_each_line(turns, questions):
    at, turn = questions.conversation[2], questions.turn[2]
    assert turns.histories(questions)[2] == "\n".join(turns.texts[at][:turn])
    assert turns.histories(questions, np.array([2])) == turns.histories(questions)[2:3]


def test_cost_is_that_of_all_counted_tokens_once(model, turns):
    cost = reply_scores.token_cost(model, turns, context=64, stride=64, batch_size=2)
    expected = []
    for at, tokens in enumerate(turns.tokens):
        logits = tf.nn.log_softmax(model(tokens[None, :-1].astype(np.int32))[0]).numpy()
        counted = turns.is_counted[turns.tokens.ends[at] : turns.tokens.ends[at + 1]]
        assert not counted[0]  # the begin-of-text token
        expected += list(-logits[np.arange(len(tokens) - 1), tokens[1:]][counted[1:]])
    np.testing.assert_allclose(cost, expected, rtol=1e-4)
    found = reply_scores.perplexity(turns, cost)
    assert found["perplexity"] == pytest.approx(np.exp(sum(expected) / 48), rel=1e-4)


def test_unknown_characters_cost_their_names(turns):
    values = turns.tokens.values.copy()
    values[turns.begins[:3] + 1] = UNKNOWN
    known, unknown = (
        reply_scores.perplexity(dataclasses.replace(turns, tokens=Ragged(tokens, turns.tokens.ends)), np.ones(9))
        for tokens in (turns.tokens.values, values)
    )
    assert turns.unknown_cost > 13  # a million code points
    more = (unknown["nats_per_word"] - known["nats_per_word"]) * turns.words
    assert more == pytest.approx(3 * turns.unknown_cost)


def test_information_compares_the_reply_with_and_without_its_history(model, turns, questions):
    found = reply_scores.mutual_information(model, turns, questions, context=64)
    for question in (0, 3):
        history, role, candidates = texts_of(turns, questions, question)
        expected = [log_likelihood(model, history, one) - log_likelihood(model, role, one) for one in candidates]
        np.testing.assert_allclose(found[question], expected, rtol=1e-3, atol=1e-4)


def test_information_by_ngrams_is_that_of_single_texts(turns, questions, size):
    model = ngram.fit(turns.tokens, 3, size)
    found = reply_scores.ngram_mutual_information(model, turns, questions)
    for question in (0, 3):
        history, role, candidates = texts_of(turns, questions, question)
        for score, reply in zip(found[question], candidates, strict=True):
            beside, alone = (
                model.log_probabilities(np.concatenate([before, reply]))[-len(reply) :].sum()
                for before in (history, np.concatenate([[0, 0, 0], role[1:]]))
            )
            assert score == pytest.approx(beside - alone, abs=1e-9)


@pytest.mark.parametrize("context", [64, 6])
def test_the_ranker_scores_the_candidates_as_when_it_is_served(data, turns, questions, size, context, monkeypatch):
    """With a context of 6, histories and replies are longer than it."""
    monkeypatch.setattr(reply_scores, "_REPLIES_AT_ONCE", 7)  # two questions of three candidates
    words = data.learned.vocabulary
    ranker = ReplyRanker(size, size - 2, BEGIN, END, SPECIAL, size=8, hidden_size=8)
    ranker.build()
    found = reply_scores.ranker_scores(ranker, words, turns, questions, context)
    texts = [[turns.flat[index] for index in candidates] for candidates in questions.candidates]
    served = replying.rank_signature(ranker, words, context, 20, 10_000, "").function
    for question, (history, replies) in enumerate(zip(turns.histories(questions), texts, strict=True)):
        score = served(tf.constant([history]), tf.constant([replies]))["score"]
        np.testing.assert_allclose(found[question], score[0], rtol=1e-4, atol=1e-4)
    for question in (0, 3):
        history, _, candidates = texts_of(turns, questions, question)
        kept = np.concatenate([history[:1], history[1:][1 - context :]])
        assert (len(kept) < len(history)) == (context == 6)
        ours = ranker.encode_history(tf.constant(kept[None], tf.int32))
        cut = [np.append(one[:-1][: context - 1], END) for one in candidates]
        expected = [ranker.scale * tf.reduce_sum(ours * ranker.encode_reply(one[None])) for one in cut]
        np.testing.assert_allclose(found[question], expected, rtol=1e-4, atol=1e-4)


def test_baselines_rank_and_reply(turns, questions, size):
    histories, given = turns.histories(questions), [turns.flat[index] for index in questions.candidates[:, 0]]
    tfidf = reply_baselines.tfidf_figures(turns, turns, questions, histories, given)
    last = [history.split("\n")[-1] for history in histories]
    cosines = TfIdf(turns.flat).cosines(last, turns.flat, questions.candidates)
    assert tfidf["hits"] == reply_metrics.hits(cosines).mean()
    assert tfidf["chrf"] == pytest.approx(100)  # the nearest training turn is the turn itself
    frequent = reply_baselines.most_frequent_reply_figures(turns, turns, questions, histories, given)
    assert frequent["distinct_1"] == 1 / len(given)  # always "yes"
    ngrams = reply_baselines.ngram_figures(turns, turns, turns, questions, 3, 10**6, size)
    assert 1 <= ngrams["order"] <= 3
    assert ngrams["perplexity"] > 1
    assert "chrf" not in ngrams
