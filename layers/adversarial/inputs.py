"""What the networks of adversarial training are called with."""

import keras
import tensorflow as tf


def unpacked(data, dtype):
    """Real samples, as `dtype`, and condition, which may be None, of a batch of `fit`."""
    real, condition, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError(f"`fit` takes no weights of samples. Received: sample_weight={sample_weight}")
    return tf.cast(real, dtype), condition


def generator_inputs(latents, condition, latent_size):
    """The generator's inputs: latents and conditions, or with a `latent_size` of 0 the conditions alone.

    Raises:
        ValueError: If the first of them is missing.
    """
    name, first = ("latents", latents) if latent_size else ("condition", condition)
    if first is None:
        raise ValueError(f"`{name}` must be given where latent_size={latent_size}. Received: {name}=None")
    return _joined(name, first, condition) if latent_size else condition


def discriminator_inputs(samples, condition):
    """The discriminator's inputs: samples and the conditions that it is to see, None for none."""
    return _joined("samples", samples, condition)


def _joined(name, first, condition):
    """A network's inputs: its first one, called `name`, and the conditions."""
    if condition is None:
        return first
    # Keras takes no arrays beside tensors.
    condition = tf.nest.map_structure(tf.convert_to_tensor, condition)
    if isinstance(condition, dict):
        return {name: first, **condition}
    return [first, *condition] if isinstance(condition, list | tuple) else [first, condition]


def default_latent_size(generator):
    """The last axis of the generator's input called `latents`, or of its first."""
    inputs = getattr(generator, "inputs", None) or []
    latents = [x.shape for x in inputs if x.name == "latents"] or [x.shape for x in inputs[:1]]
    if not latents or len(latents[0]) != 2 or latents[0][1] is None:
        raise ValueError(
            "`latent_size` must be given, 0 for a generator without latents, where the generator tells no shape [B,Z]. "
            f"Received: generator={generator} with inputs of the shapes {[x.shape for x in inputs]}"
        )
    return latents[0][1]
