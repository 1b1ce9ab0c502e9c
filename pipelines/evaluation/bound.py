"""Bound of the likelihood of examples under a variational autoencoder."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ikelos.layers import VariationalAutoencoder
from ikelos.pipelines.console import counted


def costs(
    model: VariationalAutoencoder,
    dataset: tf.data.Dataset,
    ids: Sequence[str],
    num_samples: int,
    samples_at_once: int,
) -> np.ndarray:
    """Returns the importance-weighted upper bound of each example's cost in nats, float64 `[N]`.

    Burda et al. 2016 (https://arxiv.org/abs/1509.00519), equation 8.

    Args:
        model: Trained model.
        dataset: Batches `{"x": ...}` of all examples, in order.
        ids: Names of the examples, for errors.
        num_samples: Number of samples of the posterior for each example.
        samples_at_once: Number of samples that are decoded together.

    Raises:
        FloatingPointError: If the likelihood of an example is not finite.
    """
    # One graph for all batches, also the last one, which may be smaller: tracing another takes seconds.
    bound = tf.function(
        lambda x, seed: model.log_likelihood(x, num_samples, samples_at_once, seed=seed),
        input_signature=[dataset.element_spec["x"], tf.TensorSpec([], tf.int32)],
        autograph=False,
    )
    batches = counted(dataset, "the model's likelihood", "batches", int(dataset.cardinality()))
    nats = np.concatenate([-bound(batch["x"], tf.constant(i)) for i, batch in enumerate(batches)], dtype=np.float64)
    if not np.isfinite(nats).all():
        place = int(np.argmin(np.isfinite(nats)))
        raise FloatingPointError(f"The model's likelihood of example {ids[place]} is {-nats[place]}.")
    return nats
