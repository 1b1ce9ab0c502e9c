"""Preparation of pairs of texts as tokens, with one vocabulary for both sides."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.store import TEXT_COLUMN, Column, Store, text_value
from ikelos.pipelines.data.writing import Sink
from ikelos.pipelines.text import encoding, pairs
from ikelos.pipelines.text.encoding import TextPreprocessing, VocabularyPreparation
from ikelos.pipelines.text.vocabulary.special import END

_SHOWN = 5
SOURCE, TARGET = "source", "target"
"""Columns of tokens."""
SOURCE_TEXT, TARGET_TEXT, GROUP = "source_text", "target_text", "group"
"""Columns of texts in UTF-8."""


class PairPreparation(VocabularyPreparation[TextPreprocessing]):
    """Preparation of pairs of texts, by a vocabulary that is fitted on both texts of the training pairs.

    The stores have the ragged columns `source` and `target` (uint16 if the vocabulary is small enough; each text ends
    with the end-of-text token), and the texts themselves in `source_text`, `target_text` and `group`, uint8. Pairs
    without a source or a target are counted and left out.
    """

    preprocessing = TextPreprocessing
    noun = "pairs"
    reader = pairs.Reader
    recorded_reader = pairs.RecordedReader

    def columns(self, learned: TextPreprocessing) -> Mapping[str, Column]:
        """Returns the columns of both texts, and of the groups."""
        tokens = Column(encoding.dtype_for(learned.vocabulary.size), ragged=True)
        return {SOURCE: tokens, TARGET: tokens, SOURCE_TEXT: TEXT_COLUMN, TARGET_TEXT: TEXT_COLUMN, GROUP: TEXT_COLUMN}

    def write(self, learned: TextPreprocessing, split: Split, writer: Sink) -> None:
        """Encodes the pairs.

        Raises:
            UserError: If the source cannot be read.
        """
        start, total = writer.cursor or 0, self.size(split)
        for index, pair in enumerate(self._reader.pairs(split, start), start):
            texts = decoded(pair)
            if isinstance(texts, str):
                writer.skip(pair.name, "not a pair", texts)
            elif not all(texts):
                writer.skip_empty()
            else:
                source, target = (np.append(learned.vocabulary.tokens(text), END) for text in texts)
                values = map(text_value, (*texts, pair.group))
                named = dict(zip((SOURCE_TEXT, TARGET_TEXT, GROUP), values, strict=True))
                writer.end(pair.name, **{SOURCE: source, TARGET: target}, **named)
            writer.read(index + 1, total.progress_of(pair.size))

    def show(self, learned: TextPreprocessing, store: Store) -> list[str]:
        """Returns the first pairs."""
        both = zip(store.texts(SOURCE_TEXT, _SHOWN), store.texts(TARGET_TEXT, _SHOWN), strict=True)
        return [f"{source} → {target}" for source, target in both]

    def _example(self) -> str:
        """Returns the first source text."""
        sources = (texts[0] for pair in self._reader.pairs("validation") if not isinstance(texts := decoded(pair), str))
        return next(filter(None, sources), "")

    def _texts(self, progress: Callable[[int], None]) -> Iterator[str]:
        total = self.size("train")
        for pair in self._reader.pairs("train"):
            found = decoded(pair)
            if not isinstance(found, str) and all(found):
                yield from found
            progress(total.progress_of(pair.size))


def decoded(pair: pairs.Pair) -> tuple[str, str] | str:
    """Returns the two texts of a pair without spaces around them, or what is wrong with it."""
    if pair.fault:
        return pair.fault
    try:
        return pair.source.decode("utf-8").strip(), pair.target.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        return f"is not valid UTF-8: {error.reason}"
