"""What the networks of adversarial training are called with."""

import keras
import tensorflow as tf


def unpacked(data, dtype):
    """Real samples, as `dtype`, and condition, which may be None, of a batch of `fit`."""
    real, condition, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError(f"`fit` takes no weights of samples. Received: sample_weight={sample_weight}")
    return tf.cast(real, dtype), condition


def generator_inputs(generator, latents, condition, latent_size):
    """The generator's inputs: latents and conditions, or with a `latent_size` of 0 the conditions alone.

    Raises:
        ValueError: If the first of them is missing, or `check_inputs` refuses them.
    """
    name, first = ("latents", latents) if latent_size else ("condition", condition)
    if first is None:
        raise ValueError(f"`{name}` must be given where latent_size={latent_size}. Received: {name}=None")
    inputs = _joined(name, first, condition) if latent_size else condition
    check_inputs("generator", generator, inputs)
    return inputs


def discriminator_inputs(discriminator, samples, condition):
    """The discriminator's inputs: samples and the conditions that it is to see, None for none.

    Raises:
        ValueError: As `check_inputs` does.
    """
    inputs = _joined("samples", samples, condition)
    check_inputs("discriminator", discriminator, inputs)
    return inputs


def check_inputs(role, network, inputs):
    """Refuses others than the network was built with: in number or, of a dict, by their names.

    A subclassed network, which does not tell its inputs, is left to judge by itself.

    Args:
        role: `"generator"` or `"discriminator"`, for the error.
        network: Model or layer.
        inputs: What it is to be called with.

    Raises:
        ValueError: If there are others.
    """
    known = getattr(network, "inputs", None)
    if not known:
        return
    # Of a model made of a dict of inputs, its keys; `Sequential` has no `input` before it was called.
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
