"""The vocabulary of the 256 bytes of UTF-8."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import SPECIAL


class ByteVocabulary(tf.Module):
    """Vocabulary with one token for each byte: token `SPECIAL + b` is byte b. Nothing is learned and none is unknown.

    It uses TensorFlow's own ops and no resource, so a stock server can run it.

    Attributes:
        size: Size V, always 260.
        unknown_cost: 0, as there are no unknown tokens.
    """

    kind = "byte"
    size = SPECIAL + 256
    unknown_cost = 0.0

    def __init__(self):
        super().__init__(name="byte_vocabulary")

    @classmethod
    def fit(cls, size: int | None) -> "ByteVocabulary":
        """Returns the vocabulary, without learning anything.

        Raises:
            UserError: If `size` is neither None nor 260.
        """
        if size not in (None, cls.size):
            raise UserError(f"`size` must be {cls.size} or null for a byte vocabulary. Received: size={size}")
        return cls()

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the tokens int32 `[B,None]` of UTF-8 strings `[B]`; invalid UTF-8 becomes U+FFFD."""
        valid = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        single = tf.strings.bytes_split(valid)
        values = tf.reshape(tf.io.decode_raw(single.flat_values, tf.uint8), [-1])
        return single.with_flat_values(SPECIAL + tf.cast(values, tf.int32))

    def tokens(self, text: str) -> np.ndarray:
        """Returns the tokens int32 `[n]` of a text, equal to those of `encode`."""
        return SPECIAL + np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)

    def decode(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns UTF-8 strings `[B]` of tokens int32 `[B,T]`, without special ids; invalid UTF-8 becomes U+FFFD."""
        kept = tf.ragged.boolean_mask(tokens, tokens >= SPECIAL)
        single = tf.gather(tf.constant([bytes([b]) for b in range(256)]), kept.flat_values - SPECIAL)
        joined = tf.strings.reduce_join(kept.with_flat_values(single), axis=1)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")

    def save(self, folder: pathlib.Path | str) -> None:
        """Writes `vocabulary.json`, which says only that this is a byte vocabulary."""
        content = json.dumps({"kind": self.kind}, indent=1) + "\n"
        (pathlib.Path(folder) / "vocabulary.json").write_text(content, encoding="utf-8")

    @classmethod
    def load(cls, folder: pathlib.Path | str) -> "ByteVocabulary":
        """Returns the only byte vocabulary."""
        del folder
        return cls()
