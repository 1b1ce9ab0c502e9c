"""Scores of possible replies to histories, by a ranker, a language model and an n-gram model, and the cost of turns.

The score of a language model is the pointwise mutual information of history and reply, `log p(reply | history) - log
p(reply)` (Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", section 3): the
likelihood alone prefers short replies that fit every history.
"""

import dataclasses
import functools
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers import ReplyRanker
from ikelos.pipelines.console import counted
from ikelos.pipelines.data.store import Ragged, Store
from ikelos.pipelines.evaluation import likelihood, ngram
from ikelos.pipelines.evaluation.reply_metrics import Questions
from ikelos.pipelines.text import replying, windows
from ikelos.pipelines.text.turn_encoding import TOKENS, after_begin, turns_of
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD, UNKNOWN

_REPLIES_AT_ONCE = 256
_NGRAM_CONTEXT = 512
"""Most tokens of a history and a candidate together that the n-gram model reads."""


@dataclasses.dataclass(frozen=True)
class Turns:
    """The turns of the conversations of a split.

    Attributes:
        tokens: Tokens of the conversations.
        texts: Texts of the turns of each conversation.
        begins: Places in `tokens.values` of the role of each turn, int64 `[N]`.
        ends: Places in `tokens.values` of the end-of-text token of each turn, int64 `[N]`.
        starts: Index of the first turn of each conversation, and N: int64.
        unknown_cost: Nats to add for each unknown token, the cost of naming the character that it stands for.
    """

    tokens: Ragged
    texts: list[list[str]]
    begins: np.ndarray
    ends: np.ndarray
    starts: np.ndarray
    unknown_cost: float

    @classmethod
    def of(cls, store: Store, words: Vocabulary) -> "Turns":
        """Returns the turns of a store of `TurnPreparation`."""
        tokens = store.ragged(TOKENS)
        texts = [turns_of(store, index) for index in range(len(store))]
        begins, ends = np.flatnonzero(tokens.values >= words.size), np.flatnonzero(tokens.values == END)
        return cls(tokens, texts, begins, ends, np.cumsum([0, *map(len, texts)]), words.unknown_cost)

    @functools.cached_property
    def flat(self) -> list[str]:
        """Texts of all turns."""
        return [turn for turns in self.texts for turn in turns]

    @property
    def is_counted(self) -> np.ndarray:
        """Whether each token belongs to the text of a turn or ends it: the other tokens tell nothing new."""
        is_counted = np.ones(len(self.tokens.values), bool)
        is_counted[self.begins] = False
        return is_counted & (self.tokens.values != BEGIN)

    @property
    def words(self) -> int:
        """Number of words, divided by spaces."""
        return sum(len(turn.split()) for turn in self.flat)

    def reply_indices(self, questions: Questions) -> np.ndarray:
        """Returns the index of the true reply of each question among all turns, int64 `[n]`."""
        return self.starts[questions.conversation] + questions.turn

    def histories(self, questions: Questions, chosen: np.ndarray | None = None) -> list[str]:
        """Returns the turns before the replies of all questions or of those chosen, with line ends between them."""
        places = range(len(questions.turn)) if chosen is None else chosen
        return ["\n".join(self.texts[questions.conversation[at]][: questions.turn[at]]) for at in places]

    def reply(self, index: int, most: int) -> np.ndarray:
        """Returns the tokens of a turn without its role, int32, at most `most`."""
        return self.tokens.values[self.begins[index] + 1 : self.ends[index] + 1][:most].astype(np.int32)


def token_cost(model: keras.Model, turns: Turns, context: int, stride: int, batch_size: int) -> np.ndarray:
    """Returns the cost of each token that counts, under a language model, in nats: `[n]`."""
    tokens = after_begin(turns.tokens)
    dataset = windows.strided(tokens, context, stride, batch_size)
    nll = np.concatenate(list(likelihood.token_nll(model, dataset, len(tokens.values))))
    return nll[turns.is_counted[turns.tokens.values != BEGIN]]


def perplexity(turns: Turns, cost: np.ndarray) -> dict[str, float | int | str]:
    """Returns nats and perplexity per word from the cost of each token that counts, to which that of naming unknown
    characters is added."""
    unknown = np.count_nonzero(turns.tokens.values == UNKNOWN)
    nats = (float(cost.sum()) + unknown * turns.unknown_cost) / turns.words
    return {"nats_per_word": nats, "perplexity": float(np.exp(nats)), "words": turns.words}


def ranker_scores(
    ranker: ReplyRanker, words: Vocabulary, turns: Turns, questions: Questions, context: int
) -> np.ndarray:
    """Returns the scores that the served signature `rank` gives to the candidates, float64 `[n,K]`.

    Args:
        ranker: The ranker.
        words: Its vocabulary.
        turns: The turns of the conversations.
        questions: The questions, with their candidates.
        context: As for `replying.rank`.
    """
    texts = [tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.string)]
    rank = tf.function(
        lambda history, replies: replying.rank(ranker, words, history, replies, context),
        input_signature=texts,
        autograph=False,
    )
    histories, replies = turns.histories(questions), np.array(turns.flat, object)[questions.candidates]
    size = max(1, _REPLIES_AT_ONCE // replies.shape[1])
    parts = [slice(start, start + size) for start in range(0, len(histories), size)]
    scores = [
        rank(histories[part], replies[part]) for part in counted(parts, "replies by the ranker", "parts", len(parts))
    ]
    return np.concatenate(scores).astype(np.float64)


def mutual_information(model: keras.Model, turns: Turns, questions: Questions, context: int) -> np.ndarray:
    """Returns the pointwise mutual information of histories and candidates, nats, float64 `[n,K]`.

    Args:
        model: Model from int32 `[B,T]` to logits `[B,T,V]`.
        turns: The turns of the conversations.
        questions: The questions, with their candidates.
        context: Most tokens of a history and a candidate together; a candidate takes at most half of them.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2, autograph=False)
    def cost(tokens, counted_from):
        logits = tf.cast(model(tokens[:, :-1], training=False), tf.float32)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(tokens[:, 1:], logits)
        place = tf.range(1, tf.shape(tokens)[1])
        return tf.reduce_sum(tf.where((place >= counted_from) & (tokens[:, 1:] != PAD), nll, 0.0), axis=1)

    found = np.empty(questions.candidates.shape)
    for at, after_history, after_role in _texts_of_questions(turns, questions, context):
        first, second = (
            cost(
                _padded([np.concatenate(pair) for pair in pairs]), np.array([[len(one)] for one, _ in pairs], np.int32)
            )
            for pairs in (after_history, after_role)
        )
        found[at] = second - first
    return found


def ngram_mutual_information(model: ngram.NgramModel, turns: Turns, questions: Questions) -> np.ndarray:
    """Returns the same as `mutual_information` under an n-gram model."""
    found = np.empty(questions.candidates.shape)
    # Never counted, so what follows it has no context. It replaces the begin-of-text token: after that, these models
    # expect the first turn of a conversation, while the windows of a language model begin anywhere.
    unknown = np.full(model.order, PAD, np.int32)
    for at, after_history, after_role in _texts_of_questions(turns, questions, _NGRAM_CONTEXT):
        costs = []
        for pairs in (after_history, [(np.concatenate([unknown, before[1:]]), reply) for before, reply in after_role]):
            # In one array, as each call takes time: a context of the order's length is known from the row itself.
            rows = [(np.concatenate([unknown, before])[-model.order :], reply) for before, reply in pairs]
            nll = -model.log_probabilities(np.concatenate([part for row in rows for part in row]))
            lengths = np.array([[len(part) for part in row] for row in rows])
            ends = np.cumsum(lengths.sum(axis=1))
            total = np.concatenate([[0.0], np.cumsum(nll)])
            costs.append(total[ends] - total[ends - lengths[:, 1]])
        found[at] = costs[1] - costs[0]
    return found


_Rows = list[tuple[np.ndarray, np.ndarray]]


def _texts_of_questions(turns: Turns, questions: Questions, context: int) -> Iterator[tuple[int, _Rows, _Rows]]:
    """Yields the index of each question and two lists of pairs `(tokens before, candidate)`: in the first, the tokens
    before are the history up to the role of the reply, in the second this role alone, after the begin-of-text token as
    in training."""
    begins = turns.begins[turns.reply_indices(questions)]
    indices = range(len(begins))
    for at in counted(indices, "replies by likelihood", "questions", len(begins)):
        replies = [turns.reply(index, context // 2) for index in questions.candidates[at]]
        longest = context - max(map(len, replies))
        window, length = windows.ending_at(turns.tokens, begins[at : at + 1], longest)
        history = window[0, : length[0]]
        alone = np.array([BEGIN, history[-1]], np.int32)
        yield at, [(history, reply) for reply in replies], [(alone, reply) for reply in replies]


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    """Returns arrays as one, int32 `[n,T]`, padded at the end."""
    found = np.full([len(rows), max(map(len, rows))], PAD, np.int32)
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = values
    return found
