"""The likelihood of examples under a variational autoencoder."""

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
    """What each example costs at most, in nats, float64 `[N]`: the importance-weighted bound.

    Burda et al. 2016 (https://arxiv.org/abs/1509.00519), equation 8.

    Args:
        model: The model.
        dataset: Batches `{"x": ...}` of all examples, in order.
        ids: Their names.
        num_samples: Of the posterior for each example, K.
        samples_at_once: So many of them are decoded together.

    Raises:
        FloatingPointError: If the model gives an example a likelihood that is not a number.
    """
    # One graph for the last batch too, which may have fewer examples: tracing another takes seconds.
    bound = tf.function(
        lambda x, seed: model.log_likelihood(x, num_samples, samples_at_once, seed=seed),
        input_signature=[dataset.element_spec["x"], tf.TensorSpec([], tf.int32)],
    )
    batches = counted(dataset, "the model's likelihood", "batches", int(dataset.cardinality()))
    nats = np.concatenate([-bound(batch["x"], tf.constant(i)) for i, batch in enumerate(batches)], dtype=np.float64)
    if not np.isfinite(nats).all():
        place = int(np.argmin(np.isfinite(nats)))
        raise FloatingPointError(f"The model's likelihood of example {ids[place]} is {-nats[place]}.")
    return nats
