import keras
import numpy as np

from ikelos.layers import LSTMLanguageModel
from ikelos.pipelines.evaluation import speed_by_length


def test_speeds_are_of_each_model_and_length():
    keras.utils.set_random_seed(0)
    models = {name: LSTMLanguageModel(5, context=8, num_layers=1, size=4) for name in ("a", "b")}
    text = np.array([1, 2, 3], np.uint16)
    steps = speed_by_length.training(models, text, [3, 6], batch_size=2, repeats=1)
    rates = speed_by_length.decoding(models, text, [3, 6], steps=2, repeats=1)
    for found in (steps, rates):
        assert found.keys() == models.keys()
        for points in found.values():
            assert [length for length, _ in points] == [3, 6]
            assert all(value > 0 for _, value in points)
    section = speed_by_length.section(steps, rates)
    assert section.alt.startswith(f"Milliseconds of a training step by length: a {steps['a'][0][1]:.1f} to ")
