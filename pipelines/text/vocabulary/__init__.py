"""Vocabularies, which encode text as tokens and decode tokens, in the graph.

Each is a tf.Module with these members:

- `kind` and `size` (V);
- `unknown_cost`: nats to add to a text's negative log-likelihood for each unknown token;
- `encode`: from UTF-8 strings `[B]` to a RaggedTensor int32 `[B,None]`;
- `tokens`: the same for one text, outside of a graph and faster, to an array int32 `[n]`;
- `decode`: from int32 `[B,T]` to strings `[B]`, without special ids;
- `save(folder)`.

All reserve the ids in the module `special`: 0 padding, 1 begin-of-text, 2 end-of-text, 3 unknown. `encode` adds none of
the first three.
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
"""Name, without suffix, of all files that `save` writes."""

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
        texts: Texts to fit to.
        size: Size V, special ids included. None is no limit for `character`; for `byte`, None or 260.

    Raises:
        UserError: If the kind is unknown, the texts are empty, or a vocabulary of this size is not possible.
    """
    if kind not in _CLASSES:
        raise UserError(f"`kind` must be one of {', '.join(_CLASSES)}. Received: kind={kind!r}")
    if kind == "character":
        return CharacterVocabulary.fit(texts, size)
    if kind == "byte":
        return ByteVocabulary.fit(size)
    return SentencePieceVocabulary.fit(kind, texts, size)


def load(folder: pathlib.Path | str) -> Vocabulary:
    """Loads the vocabulary that `save` wrote into a folder."""
    content = json.loads((pathlib.Path(folder) / "vocabulary.json").read_text(encoding="utf-8"))
    return _CLASSES[content["kind"]].load(folder)
