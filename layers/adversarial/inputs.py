"""The inputs of the networks in adversarial training, and their checks."""

import keras
import tensorflow as tf


def unpacked(data, dtype):
    """Returns the real samples, cast to `dtype`, and the condition or None, from a batch of `fit`.

    Raises:
        ValueError: If the batch has sample weights.
    """
    real, condition, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError(f"`sample_weight` must be None. Received: sample_weight={sample_weight}")
    return tf.cast(real, dtype), condition


def check_samples(real, fake):
    """Checks that real samples have the shape of generated ones, because losses would broadcast them.

    Raises:
        ValueError: If the static shapes differ.
    """
    if not real.shape.is_compatible_with(fake.shape):
        raise ValueError(
            f"`samples` must have the shape of the generator's outputs, {fake.shape}. "
            f"Received: samples.shape={real.shape}"
        )


def generator_inputs(generator, latents, condition, latent_size):
    """Returns the inputs of the generator: latents and conditions, or only the conditions if `latent_size` is 0.

    Raises:
        ValueError: If the latents or, without latents, the conditions are missing, or if the inputs do not match those
            that the generator was built with.
    """
    name, first = ("latents", latents) if latent_size else ("condition", condition)
    if first is None:
        raise ValueError(f"`{name}` must be given if latent_size={latent_size}. Received: {name}=None")
    inputs = _network_inputs(name, first, condition) if latent_size else condition
    check_inputs("generator", generator, inputs)
    return inputs


def discriminator_inputs(discriminator, samples, condition):
    """Returns the inputs of the discriminator: the samples, and the conditions unless `condition` is None.

    Raises:
        ValueError: If the inputs do not match those that the discriminator was built with.
    """
    inputs = _network_inputs("samples", samples, condition)
    check_inputs("discriminator", discriminator, inputs)
    return inputs


def check_inputs(role, network, inputs):
    """Checks that inputs have the number, or as a dict the names, that a network was built with.

    A subclassed network is not checked, because its inputs are not known.

    Args:
        role: `"generator"` or `"discriminator"`, for the error.
        network: Model or layer.
        inputs: The inputs for its call.

    Raises:
        ValueError: If the number or the names differ.
    """
    known = getattr(network, "inputs", None)
    if not known:
        return
    # The keys, if the model was made with a dict of inputs. `Sequential` has no `input` before its first call.
    structure = getattr(network, "input", None)
    names = list(structure) if isinstance(structure, dict) else [x.name for x in known]
    given = list(inputs) if isinstance(inputs, dict) else tf.nest.flatten(inputs)
    if set(given) == set(names) if isinstance(inputs, dict) else len(given) == len(names):
        return
    if len(given) > len(names) == 1:
        remedy = "Call `fit(samples)` without a condition, or build the network with an input for each condition"
    else:
        remedy = "Give `fit`, `sample` and `generate` the conditions that it has inputs for, in a dict by their names"
    if role == "discriminator":
        remedy += ". `discriminator_sees_condition` says whether it gets them"
    raise ValueError(
        f"`{role}` must be called with as many inputs as it has, {len(names)}: {names}. {remedy}. "
        f"Received: {tf.nest.map_structure(lambda x: x.shape, inputs)}"
    )


def _network_inputs(name, first, condition):
    """Returns the inputs of a network: the first one, called `name`, and the conditions."""
    if condition is None:
        return first
    # Keras does not accept a mixture of arrays and tensors.
    condition = tf.nest.map_structure(tf.convert_to_tensor, condition)
    if isinstance(condition, dict):
        return {name: first, **condition}
    return [first, *condition] if isinstance(condition, list | tuple) else [first, condition]


def default_latent_size(generator):
    """Returns the size of the last axis of the generator's input called `latents`, or of its first input.

    Raises:
        ValueError: If the generator has no such input of shape `[B,Z]` with known Z.
    """
    inputs = getattr(generator, "inputs", None) or []
    latents = [x.shape for x in inputs if x.name == "latents"] or [x.shape for x in inputs[:1]]
    if not latents or len(latents[0]) != 2 or latents[0][1] is None:
        raise ValueError(
            "`latent_size` must be given (0 without latents), because the generator has no known input of shape [B,Z]. "
            f"Received: generator={generator} with inputs of the shapes {[x.shape for x in inputs]}"
        )
    return latents[0][1]
