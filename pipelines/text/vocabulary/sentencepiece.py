"""Vocabularies of subwords, learned by SentencePiece."""

import io
import json
import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD, SPECIAL, UNKNOWN

# SentencePiece writes a space as U+2581 and so can't tell the two apart. Text that holds this character gets
# it escaped by the control character "data link escape", and a data link escape by itself.
_SPACE = "\u2581"
_ESCAPE = "\x10"
_ESCAPES = ((_ESCAPE, _ESCAPE + "0"), (_SPACE, _ESCAPE + "1"))


class SentencePieceVocabulary(tf.Module):
    """Subwords by byte-pair encoding (`kind="bpe"`) or a unigram model (`kind="unigram"`).

    The text is taken as it is: no normalisation, no added space, and characters that are not in the
    vocabulary fall back to bytes. So decoding gives back any text, and no token is unknown. The tokenizer
    runs in the graph by the ops of TensorFlow Text, which a stock server has, with the model within the
    graph.

    Papers: Sennrich et al. 2016 (byte-pair encoding), Kudo 2018 (unigram), Kudo and Richardson 2018
        (SentencePiece).

    Attributes:
        size: V, the number of token ids: special ones, 256 bytes, subwords.
        unknown_cost: 0, there are no unknown tokens.
    """

    unknown_cost = 0.0

    def __init__(self, kind: str, model: bytes):
        import sentencepiece

        super().__init__(name="sentencepiece_vocabulary")
        self.kind = kind
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._pieces = [self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size())]
        self.size = len(self._pieces)

    @classmethod
    def fit(cls, kind: str, texts: Iterable[str], size: int | None) -> "SentencePieceVocabulary":
        """Trains on the lines of the texts, in one thread, so that the same texts give the same
        vocabulary."""
        import sentencepiece

        if size is None:
            raise UserError(f"a {kind} vocabulary needs a size. Received: size=None")
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(_escaped(line) for text in texts for line in text.split("\n") if line),
                model_writer=model,
                model_type=kind,
                vocab_size=size,
                pad_id=PAD,
                bos_id=BEGIN,
                eos_id=END,
                unk_id=UNKNOWN,
                byte_fallback=True,
                normalization_rule_name="identity",
                add_dummy_prefix=False,
                remove_extra_whitespaces=False,
                allow_whitespace_only_pieces=True,
                max_sentence_length=1 << 30,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise UserError(f"SentencePiece can't fit a {kind} vocabulary of size={size}: {error}") from error
        return cls(kind, model.getvalue())

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Tokens int32 [B, None] of UTF-8 strings [B]; bytes that are not valid UTF-8 become those of
        U+FFFD."""
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        for plain, escaped in _ESCAPES:
            text = tf.strings.regex_replace(text, plain, escaped)
        return self._tokenizer().tokenize(text)

    def tokens(self, text: str) -> np.ndarray:
        """Tokens int32 [n] of a text, as `encode` gives them."""
        return np.array(self._processor.encode(_escaped(text)), np.int32)

    def decode(self, tokens: tf.Tensor) -> tf.Tensor:
        """UTF-8 strings [B] of tokens int32 [B, T]; special ids are dropped, and what is not valid UTF-8
        becomes U+FFFD."""
        text = self._tokenizer().detokenize(tf.ragged.boolean_mask(tokens, tokens >= SPECIAL))
        for plain, escaped in reversed(_ESCAPES):
            text = tf.strings.regex_replace(text, escaped, plain)
        return text

    def _tokenizer(self):
        """Made in the graph that uses it, for its resource belongs to the op that makes it.

        One made once, eagerly, is gone as soon as TensorFlow clears its caches, as setting a random seed does.
        """
        import tensorflow_text

        return tensorflow_text.SentencepieceTokenizer(model=self._model, out_type=tf.int32)

    def save(self, folder: pathlib.Path | str) -> None:
        """Writes `vocabulary.model`, SentencePiece's own format, and `vocabulary.json` with the pieces to
        look at."""
        folder = pathlib.Path(folder)
        (folder / "vocabulary.model").write_bytes(self._model)
        content = json.dumps({"kind": self.kind, "pieces": self._pieces}, ensure_ascii=False, indent=1) + "\n"
        (folder / "vocabulary.json").write_text(content, encoding="utf-8")

    @classmethod
    def load(cls, folder: pathlib.Path | str) -> "SentencePieceVocabulary":
        """Reads what `save` wrote."""
        folder = pathlib.Path(folder)
        kind = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))["kind"]
        return cls(kind, (folder / "vocabulary.model").read_bytes())


def _escaped(text):
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text
