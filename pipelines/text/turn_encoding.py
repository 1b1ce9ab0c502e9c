"""Preparation of conversations as tokens, and the same encoding of a history in the graph."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.store import TEXT_COLUMN, Column, Ragged, Store, text_value
from ikelos.pipelines.data.writing import Sink
from ikelos.pipelines.text import encoding, turns
from ikelos.pipelines.text.encoding import TextPreprocessing, VocabularyPreparation
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD

TOKENS, TURNS = "tokens", "turns"
"""Columns: the tokens, and the turns in UTF-8 with line ends between them."""
ROLES = 2
"""Number of roles: who speaks first in a conversation has role 0, the other one role 1."""
_FEWEST = 2
"""Fewest turns of a conversation: with one turn there is no reply."""
_SHOWN = 3
_EXAMPLE = 4
"""Most turns of the example."""


def vocabulary_size(words: Vocabulary) -> int:
    """Returns the number of a model's tokens: those of the vocabulary, then the two roles, which stand for no text."""
    return words.size + ROLES


class TurnPreparation(VocabularyPreparation[TextPreprocessing]):
    """Preparation of conversations, by a vocabulary that is fitted on the turns of the training conversations.

    The stores have the ragged column `tokens` (uint16 if they are few enough): the begin-of-text token, then for each
    turn the token of its role, those of its text, and the end-of-text token. The column `turns` has the text of all
    turns, uint8, each but the last followed by a line end. Conversations of fewer than two turns are counted and left
    out.
    """

    preprocessing = TextPreprocessing
    noun = "conversations"
    reader = turns.Reader
    recorded_reader = turns.RecordedReader

    def columns(self, learned: TextPreprocessing) -> Mapping[str, Column]:
        """Returns the columns `tokens` and `turns`."""
        return {
            TOKENS: Column(encoding.dtype_for(vocabulary_size(learned.vocabulary)), ragged=True),
            TURNS: TEXT_COLUMN,
        }

    def write(self, learned: TextPreprocessing, split: Split, writer: Sink) -> None:
        """Encodes the conversations.

        Raises:
            UserError: If the source cannot be read.
        """
        start, total = writer.cursor or 0, self.size(split)
        for index, conversation in enumerate(self._reader.conversations(split, start), start):
            found = turns.parsed(conversation.content)
            if isinstance(found, str):
                writer.skip(conversation.name, "not a conversation", found)
            elif len(found) < _FEWEST:
                writer.skip_empty()
            else:
                text = text_value("\n".join(found))
                writer.end(conversation.name, **{TOKENS: tokens(learned.vocabulary, found), TURNS: text})
            writer.read(index + 1, total.progress_of(len(conversation.content)))

    def show(self, learned: TextPreprocessing, store: Store) -> list[str]:
        """Returns the first turns of the first conversations."""
        return ["\n".join(turns_of(store, index)[:_EXAMPLE]) for index in range(min(_SHOWN, len(store)))]

    def _example(self) -> str:
        """Returns the first turns of a conversation, as a history."""
        found = (turns.parsed(conversation.content) for conversation in self._reader.conversations("validation"))
        return next(("\n".join(some[:_EXAMPLE]) for some in found if not isinstance(some, str) and some), "")

    def _texts(self, progress: Callable[[int], None]) -> Iterator[str]:
        total = self.size("train")
        for conversation in self._reader.conversations("train"):
            found = turns.parsed(conversation.content)
            if not isinstance(found, str) and len(found) >= _FEWEST:
                yield from found
            progress(total.progress_of(len(conversation.content)))


def tokens(words: Vocabulary, conversation: Sequence[str]) -> np.ndarray:
    """Returns the tokens of a conversation of some turns, int32 `[n]`."""
    found = [np.array([BEGIN], np.int32)]
    for place, turn in enumerate(conversation):
        found += [np.array([words.size + place % ROLES], np.int32), words.tokens(turn), np.array([END], np.int32)]
    return np.concatenate(found)


def after_begin(conversations: Ragged) -> Ragged:
    """Returns the tokens of conversations without the begin-of-text tokens, which `windows.strided` puts before each
    window itself."""
    values = conversations.values[conversations.values != BEGIN]
    return Ragged(values, conversations.ends - np.arange(len(conversations.ends)))


def turns_of(store: Store, index: int) -> list[str]:
    """Returns the turns of a conversation."""
    return store.ragged(TURNS)[index].tobytes().decode("utf-8").split("\n")


def history_tokens(words: Vocabulary, history: tf.Tensor, context: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the tokens of histories up to the role of the reply, in the graph.

    Args:
        words: Vocabulary with `encode`.
        history: string `[B]`, turns with line ends between them, the newest last. Lines without text are ignored. The
            speakers alternate, and the first turn has role 0.
        context: Most tokens to keep, at least 2. The begin-of-text token is always kept, and so are the newest tokens.

    Returns:
        The tokens, int32 `[B,T]`, padded at the end, and their lengths, int32 `[B]`, each at least 2.
    """
    found = tf.strings.split(history, "\n")
    flat = tf.strings.strip(tf.strings.regex_replace(found.flat_values, turns.SPACES, " "))
    found = tf.ragged.boolean_mask(found.with_flat_values(flat), found.with_flat_values(flat != ""))
    number = tf.cast(found.row_lengths(), tf.int32)
    place = tf.ragged.range(number)
    roles = words.size + place.flat_values % ROLES
    spoken = tf.concat([roles[:, None], words.encode(found.flat_values), tf.fill([tf.size(roles), 1], END)], axis=1)
    before = found.with_flat_values(spoken).merge_dims(1, 2)
    reply = (words.size + number % ROLES)[:, None]
    kept = tf.concat([before, reply], axis=1)[:, 1 - context :]
    kept = tf.concat([tf.fill([tf.shape(history)[0], 1], BEGIN), kept], axis=1)
    return kept.to_tensor(PAD), tf.cast(kept.row_lengths(), tf.int32)


def reply_tokens(words: Vocabulary, reply: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the tokens of replies, in the graph: their text, cut to `most - 1` tokens, and the end-of-text token.

    Args:
        words: Vocabulary with `encode`.
        reply: string `[B]`.
        most: Most tokens, at least 1.

    Returns:
        int32 `[B,T]`, padded at the end, and their lengths, int32 `[B]`, each at least 1.
    """
    text = tf.strings.strip(tf.strings.regex_replace(reply, turns.SPACES, " "))
    found = tf.concat([words.encode(text)[:, : most - 1], tf.fill([tf.shape(reply)[0], 1], END)], axis=1)
    return found.to_tensor(PAD), tf.cast(found.row_lengths(), tf.int32)
