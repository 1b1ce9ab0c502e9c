import keras
import numpy as np
import pytest

from ikelos.layers import FusedLSTM
from ikelos.layers.drop_in import overrides, own_methods

Attention = keras.layers.MultiHeadAttention


def test_its_own_methods_are_those_that_not_every_layer_has():
    names = own_methods(Attention)
    assert {"_compute_attention", "_compute_attention_mask", "_masked_softmax"} <= set(names)
    assert not {"call", "build", "__init__", "_set_mask_metadata"} & set(names)


def test_overrides():
    class Own(Attention):
        def _masked_softmax(self, scores, attention_mask=None):
            return scores

        @staticmethod
        def _compute_causal_mask(query, value=None):
            return None

    layer, own = Attention(2, 2), Own(2, 2)
    names = own_methods(Attention)
    assert not overrides(layer, Attention, names)
    assert overrides(own, Attention, names)
    assert overrides(own, Attention, ["_masked_softmax"])
    assert overrides(own, Attention, ["_compute_causal_mask"])
    assert not overrides(own, Attention, ["_compute_attention"])
    layer._compute_attention = lambda *arguments: None
    assert overrides(layer, Attention, ["_compute_attention"])


def test_a_file_names_the_class_to_whoever_has_not_imported_it(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((5, 4)), FusedLSTM(6)])
    model.save(tmp_path / "model.keras")
    registered = "ikelos>FusedLSTM"
    monkeypatch.delitem(keras.saving.get_custom_objects(), registered)
    with pytest.raises(TypeError, match=f"'module': 'ikelos.layers.recurrent.fused_lstm'.*{registered}"):
        keras.saving.load_model(tmp_path / "model.keras")
    monkeypatch.undo()
    x = np.ones([1, 5, 4], "float32")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))
