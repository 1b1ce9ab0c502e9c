"""Vocabularies: text to tokens and back, in the graph.

Each is a tf.Module with `kind`, `size` (V), `unknown_cost` (nats to add for each unknown token), `encode`
(UTF-8 strings [B] to a RaggedTensor int32 [B, None]), `tokens` (the same of one text, outside of any graph
and faster: an array int32 [n]), `decode` (int32 [B, T] to strings [B]) and `save(folder)`. All keep the ids
of `special` for themselves: 0 padding, 1 begin-of-text, 2 end-of-text, 3 unknown. `encode` adds none of the
first three.
"""

import json
import pathlib
from collections.abc import Iterable

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.byte import ByteVocabulary
from ikelos.pipelines.text.vocabulary.character import CharacterVocabulary
from ikelos.pipelines.text.vocabulary.sentencepiece import SentencePieceVocabulary

Vocabulary = CharacterVocabulary | ByteVocabulary | SentencePieceVocabulary

FILES = "vocabulary"
"""How the names of all files begin that `save` writes, up to a dot."""

_CLASSES: dict[str, type[Vocabulary]] = {
    "character": CharacterVocabulary,
    "byte": ByteVocabulary,
    "bpe": SentencePieceVocabulary,
    "unigram": SentencePieceVocabulary,
}


def fit(kind: str, texts: Iterable[str], size: int | None) -> Vocabulary:
    """Fits a vocabulary on texts, which should be training data only.

    Args:
        kind: `character`, `byte`, `bpe` or `unigram`.
        texts: the documents.
        size: V with the special ids included; None is no limit for `character`, and may be given for `byte`
            (260).

    Raises:
        UserError: if the kind is unknown, the texts are empty or the size can't be met.
    """
    if kind not in _CLASSES:
        raise UserError(f"unknown vocabulary; there are {', '.join(_CLASSES)}. Received: kind={kind!r}")
    if kind == "character":
        return CharacterVocabulary.fit(texts, size)
    if kind == "byte":
        return ByteVocabulary.fit(size)
    return SentencePieceVocabulary.fit(kind, texts, size)


def load(folder: pathlib.Path | str) -> Vocabulary:
    """Reads the vocabulary that `save` wrote into a folder."""
    content = json.loads((pathlib.Path(folder) / "vocabulary.json").read_text(encoding="utf-8"))
    return _CLASSES[content["kind"]].load(folder)
