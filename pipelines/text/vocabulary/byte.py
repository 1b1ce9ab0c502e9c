"""The vocabulary of the 256 bytes of UTF-8."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import SPECIAL


class ByteVocabulary(tf.Module):
    """One token for each byte of the UTF-8 text: token `SPECIAL + b` is byte b. Nothing is learned, nothing
    is unknown.

    All is done in the graph with TensorFlow's own ops and no resource, so a stock server runs it.

    Attributes:
        size: V, always 260.
        unknown_cost: 0, there are no unknown tokens.
    """

    kind = "byte"
    size = SPECIAL + 256
    unknown_cost = 0.0

    def __init__(self):
        super().__init__(name="byte_vocabulary")

    @classmethod
    def fit(cls, size: int | None) -> "ByteVocabulary":
        """Nothing to learn; the size, if given, must be 260."""
        if size not in (None, cls.size):
            raise UserError(f"a byte vocabulary has {cls.size} tokens. Received: size={size}")
        return cls()

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Tokens int32 [B, None] of UTF-8 strings [B]; bytes that are not valid UTF-8 become those of
        U+FFFD."""
        valid = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        single = tf.strings.bytes_split(valid)
        values = tf.reshape(tf.io.decode_raw(single.flat_values, tf.uint8), [-1])
        return single.with_flat_values(SPECIAL + tf.cast(values, tf.int32))

    def tokens(self, text: str) -> np.ndarray:
        """Tokens int32 [n] of a text, as `encode` gives them."""
        return SPECIAL + np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)

    def decode(self, tokens: tf.Tensor) -> tf.Tensor:
        """UTF-8 strings [B] of tokens int32 [B, T]; special ids are dropped, and what is not valid UTF-8
        becomes U+FFFD."""
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
        """The one there is."""
        del folder
        return cls()
