"""Vocabularies of subwords, learned by SentencePiece."""

import io
import json
import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD, SPECIAL, UNKNOWN

# SentencePiece represents a space as U+2581 and so cannot tell the two apart. So U+2581 in a text is escaped with
# the control character "data link escape", and so is that character itself.
_SPACE = "\u2581"
_ESCAPE = "\x10"
_ESCAPES = ((_ESCAPE, _ESCAPE + "0"), (_SPACE, _ESCAPE + "1"))


class SentencePieceVocabulary(tf.Module):
    """Vocabulary of subwords, by byte-pair encoding (`kind="bpe"`) or a unigram model (`kind="unigram"`).

    The text is not normalised, no space is added, and characters outside the vocabulary are encoded as bytes. So
    decoding restores any text, and no token is unknown. The tokenizer uses ops of TensorFlow Text, which a stock server
    has, and the graph contains the model.

    Papers: Sennrich et al. 2016 (byte-pair encoding), Kudo 2018 (unigram), Kudo and Richardson 2018 (SentencePiece).

    Attributes:
        size: Size V: special ids, 256 bytes, and subwords.
        unknown_cost: 0, as there are no unknown tokens.
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
        """Fits to the lines of the texts, in one thread, so that the same texts give the same vocabulary.

        Raises:
            UserError: If `size` is None, or SentencePiece cannot make a vocabulary of this size from the texts.
        """
        import sentencepiece

        if size is None:
            raise UserError(f"`size` must be given for a {kind} vocabulary. Received: size=None")
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
            raise UserError(f"SentencePiece cannot fit a {kind} vocabulary of size={size}: {error}") from error
        return cls(kind, model.getvalue())

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the tokens int32 `[B,None]` of UTF-8 strings `[B]`; invalid UTF-8 becomes U+FFFD."""
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        for plain, escaped in _ESCAPES:
            text = tf.strings.regex_replace(text, plain, escaped)
        return self._tokenizer().tokenize(text)

    def tokens(self, text: str) -> np.ndarray:
        """Returns the tokens int32 `[n]` of a text, equal to those of `encode`."""
        return np.array(self._processor.encode(_escaped(text)), np.int32)

    def decode(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns UTF-8 strings `[B]` of tokens int32 `[B,T]`, without special ids; invalid UTF-8 becomes U+FFFD."""
        text = self._tokenizer().detokenize(tf.ragged.boolean_mask(tokens, tokens >= SPECIAL))
        for plain, escaped in reversed(_ESCAPES):
            text = tf.strings.regex_replace(text, escaped, plain)
        return text

    def _tokenizer(self):
        """Creates a tokenizer in the graph that uses it, as its resource belongs to the op that creates it.

        A tokenizer created eagerly would be lost when TensorFlow clears its caches, as setting a random seed does.
        """
        import tensorflow_text

        return tensorflow_text.SentencepieceTokenizer(model=self._model, out_type=tf.int32)

    def save(self, folder: pathlib.Path | str) -> None:
        """Writes `vocabulary.model` in SentencePiece's format, and `vocabulary.json` with the pieces for reading."""
        folder = pathlib.Path(folder)
        (folder / "vocabulary.model").write_bytes(self._model)
        content = json.dumps({"kind": self.kind, "pieces": self._pieces}, ensure_ascii=False, indent=1) + "\n"
        (folder / "vocabulary.json").write_text(content, encoding="utf-8")

    @classmethod
    def load(cls, folder: pathlib.Path | str) -> "SentencePieceVocabulary":
        """Loads the vocabulary that `save` wrote."""
        folder = pathlib.Path(folder)
        kind = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))["kind"]
        return cls(kind, (folder / "vocabulary.model").read_bytes())


def _escaped(text):
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text
