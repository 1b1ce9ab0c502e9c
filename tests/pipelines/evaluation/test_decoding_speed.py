import keras
import numpy as np

from ikelos.layers import TransformerLanguageModel
from ikelos.pipelines.evaluation import decoding_speed


def test_both_ways_are_timed_at_each_length():
    keras.utils.set_random_seed(0)
    model = TransformerLanguageModel(9, context=8, num_layers=1, size=8, num_heads=2, hidden_size=8)
    found = decoding_speed.measure(model, np.ones(7, np.uint16), [2, 5, 7], steps=2, repeats=2)
    assert [speed["length"] for speed in found] == [2, 5, 7]
    assert all(speed[name] > 0 for speed in found for name in ("with the cache", "without it", "ratio"))
    (section,) = decoding_speed.section(found)
    assert section.alt.startswith("Tokens a second by the length of the text before. 2 tokens: ")
    assert decoding_speed.section([]) == []
