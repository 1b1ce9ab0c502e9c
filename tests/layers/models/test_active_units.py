import subprocess
import sys

import keras
import numpy as np
import pytest

from ikelos.layers import ActiveUnits


@pytest.mark.parametrize("far", [0.0, 100.0, 1e4])
def test_counts_variances_above_a_hundredth(far):
    rng = np.random.default_rng(0)
    means = far + rng.normal(size=[60, 5]) * np.sqrt([0.0, 0.005, 0.02, 1.0, 0.0])
    metric = ActiveUnits((5,))
    for batch in np.split(means.astype("float32"), [7, 7, 30]):
        metric.update_state(batch)
    # The metric is given the means in float32, and computes in float64.
    expected = means.astype("float32").astype("float64").var(0)
    np.testing.assert_allclose(metric.variance(), expected, rtol=1e-5, atol=1e-7)
    assert float(metric.result()) == 2


def test_examples_without_weight_do_not_count():
    metric = ActiveUnits((2,))
    metric.update_state([[1.0, 5.0], [9.0, 5.0]], sample_weight=[1.0, 0.0])
    metric.update_state([[1.0, 5.0], [1.0, -7.0]], sample_weight=[0.5, 0.0])
    assert float(metric.result()) == 0
    metric.update_state([[1.0, 6.0]], sample_weight=[1.0])
    assert float(metric.result()) == 1


def test_replicas_are_counted_together():
    # Fresh, since a process that has begun to compute can't part its processor in two.
    code = """
import tensorflow as tf
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
from ikelos.layers import ActiveUnits
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    metric = ActiveUnits((2,))
# Each replica's own examples are all the same.
means = strategy.experimental_distribute_values_from_function(
    lambda context: tf.fill([4, 2], float(context.replica_id_in_sync_group)))
strategy.run(metric.update_state, [means])
print(metric.variance().numpy().tolist(), float(metric.result()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "[0.25, 0.25] 2.0"


def test_means_that_are_no_numbers_and_other_shapes():
    metric = ActiveUnits(2)
    metric.update_state([[0.0, 3.0], [1.0, float("nan")]])
    assert np.isnan(metric.result())
    with pytest.raises(ValueError, match=r"`means` must have shape \[B,2\]. Received: means.shape=\(3, 1\)"):
        metric.update_state(np.zeros([3, 1]))
    with pytest.raises(ValueError, match=r"`sample_weight` must be .* B=3 .* Received: sample_weight.shape=\(1,\)"):
        metric.update_state(np.zeros([3, 2]), sample_weight=[1.0])
    with pytest.raises(ValueError, match=r"`event_shape` must be positive integers. Received: event_shape=0"):
        ActiveUnits(0)


def test_before_any_example_none_is_active():
    assert float(ActiveUnits((2,)).result()) == 0


def test_config_and_reset():
    metric = ActiveUnits.from_config(ActiveUnits((2, 3), name="units").get_config())
    assert metric.name == "units"
    metric.update_state(keras.random.normal((50, 2, 3), seed=0))
    assert float(metric.result()) == 6
    metric.reset_state()
    assert float(metric.result()) == 0
