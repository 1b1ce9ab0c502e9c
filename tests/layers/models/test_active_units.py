import keras
import numpy as np
import pytest

from ikelos.layers import ActiveUnits


@pytest.mark.parametrize("far", [0.0, 100.0])
def test_counts_variances_above_a_hundredth(far):
    rng = np.random.default_rng(0)
    means = far + rng.normal(size=[60, 5]) * np.sqrt([0.0, 0.005, 0.02, 1.0, 0.0])
    metric = ActiveUnits((5,))
    for batch in np.split(means.astype("float32"), [7, 7, 30]):
        metric.update_state(batch)
    np.testing.assert_allclose(metric.squares / metric.count, means.var(0), rtol=1e-3, atol=1e-5)
    assert float(metric.result()) == 2


def test_examples_without_weight_do_not_count():
    metric = ActiveUnits((2,))
    metric.update_state([[1.0, 5.0], [9.0, 5.0]], sample_weight=[1.0, 0.0])
    metric.update_state([[1.0, 5.0], [1.0, -7.0]], sample_weight=[0.5, 0.0])
    assert float(metric.result()) == 0
    metric.update_state([[1.0, 6.0]], sample_weight=[1.0])
    assert float(metric.result()) == 1


def test_before_any_example_none_is_active():
    assert float(ActiveUnits((2,)).result()) == 0


def test_config_and_reset():
    metric = ActiveUnits.from_config(ActiveUnits((2, 3), name="units").get_config())
    assert metric.name == "units"
    metric.update_state(keras.random.normal((50, 2, 3), seed=0))
    assert float(metric.result()) == 6
    metric.reset_state()
    assert float(metric.result()) == 0
