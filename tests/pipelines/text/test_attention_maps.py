import numpy as np
import tensorflow as tf

from ikelos.pipelines.text import attention_maps
from ikelos.pipelines.text.vocabulary.special import BEGIN, END


class FixedAttention:
    """A model whose two heads of one attention have fixed weights for each pair of tokens."""

    def attention_weights(self, inputs):
        self.inputs = {name: x.numpy().tolist() for name, x in inputs.items()}
        target, source = (inputs[name].shape[1] for name in ("target", "source"))
        first = tf.one_hot(tf.range(target) % source, source)
        return tf.stack([first, tf.fill([target, source], 1 / source)])[None, None]


def test_rows_are_the_predicted_tokens_and_columns_the_source(words):
    model = FixedAttention()
    source, target, weights = attention_maps.attention(model, words, "c a", "cab")
    assert (source, target) == (["c", "·", "a", "∎"], ["c", "a", "b", "∎"])
    np.testing.assert_allclose(weights, np.eye(4) / 2 + 1 / 8)
    ours, theirs = (words.tokens(text).tolist() for text in ("c a", "cab"))
    assert model.inputs == {"source": [[*ours, END]], "target": [[BEGIN, *theirs]]}


def test_a_picture_has_a_map_for_each_pair(words):
    section = attention_maps.section(FixedAttention(), words, [("cab", "a_$"), ("c", "b"), ("b", "cab" * 40)])
    maps = [axes for axes in section.figure.axes if axes.axison]
    assert [len(axes.get_yticks()) for axes in maps] == [4, 2, 0]
    section.figure.draw_without_rendering()
    assert "c → b" in section.alt
