import random

import pytest
import tensorflow as tf

from ikelos.pipelines.text import stopping, vocabulary

cut = tf.function(stopping.cut, autograph=False)


def shortened(text, stops):
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def test_texts_end_before_the_first_stop_string():
    draw = random.Random(0)

    def drawn(longest):
        return "".join(draw.choices(["a", "b", "é", "\0"], k=draw.randrange(longest))).encode()

    texts, stops = [drawn(12) for _ in range(64)], [[drawn(4) for _ in range(3)] for _ in range(64)]
    found = cut(tf.constant(texts), tf.constant(stops)).numpy().tolist()
    assert found == [shortened(*pair) for pair in zip(texts, stops, strict=True)]
    assert 10 < sum(text != whole for text, whole in zip(found, texts, strict=True)) < 64


@pytest.mark.parametrize("stops", [[[], []], [[""], [""]], [["abcd"], ["c"]]])
def test_without_a_stop_string_texts_stay(stops):
    assert cut(tf.constant(["abc", ""]), tf.constant(stops, tf.string)).numpy().tolist() == [b"abc", b""]


@pytest.mark.parametrize("kind", ["character", "byte"])
def test_a_row_ends_with_the_token_that_completes_a_stop_string(kind):
    words = vocabulary.fit(kind, ["abcdé"], None)
    tokens = [words.tokens(text).tolist() for text in ("abéca", "ccccccc", "aébab")]
    length = max(map(len, tokens))
    written = tf.constant([row + [0] * (length - len(row)) for row in tokens])
    until = tf.function(stopping.until(words, tf.constant([["éc", ""], ["", ""], ["c", "b"]])), autograph=False)
    first = []
    for row in range(3):
        ends = [step for step in range(1, length + 1) if until(tf.constant(step), written)[row]]
        first.append(words.decode(written[row : row + 1, : ends[0]])[0].numpy().decode() if ends else None)
    assert first == ["abéc", None, "aéb"]
