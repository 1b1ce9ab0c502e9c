"""Checks of a variational autoencoder's networks and of its inputs: examples, conditions and sample weights."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer


def check_network(name, network, family_name, family):
    """Checks that a network outputs the parameters of a distribution layer, if the output shape is known.

    Args:
        name: `"encoder"` or `"decoder"`, for the error.
        network: Layer or model.
        family_name: `"posterior"` or `"likelihood"`, for the error.
        family: The distribution layer.

    Raises:
        ValueError: If the output shape does not match or `network` is not a Keras layer.
    """
    if not isinstance(network, keras.layers.Layer):
        raise ValueError(f"`{name}` must be a Keras layer or model. Received: {name}={network!r}")
    if isinstance(family, DistributionLayer) and getattr(network, "outputs", None):
        shape = network.outputs[0].shape
        try:
            family.compute_output_shape(shape)
        except ValueError as error:
            raise ValueError(
                f"`{name}` must output the parameters of `{family_name}`, [...,{family.num_params}]. "
                f"Received: {name} with outputs of shape {shape}"
            ) from error


def check_condition(name, network, condition):
    """Checks that there is a condition if and only if a network has an input for it.

    A subclassed network is not checked, because its inputs are not known.

    Args:
        name: `"encoder"` or `"decoder"`, for the error.
        network: Layer or model.
        condition: Tensor or None.

    Raises:
        ValueError: If the condition is missing or the network would ignore it.
    """
    known = getattr(network, "inputs", None)
    if known and (len(known) > 1) != (condition is not None):
        must = "None" if len(known) == 1 else "given"
        raise ValueError(
            f"`condition` must be {must}, because `{name}` has {len(known)} input{'s' * (len(known) > 1)}. "
            f"Received: condition={condition if condition is None else condition.shape}"
        )


def are_paired(shape):
    """Returns whether `shape` is a pair: the shapes of the inputs and of the condition."""
    return isinstance(shape[0], tuple | list)


def pair(inputs):
    """Returns the inputs and the condition (or None) as tensors, because Keras cannot mix arrays and tensors.

    Raises:
        ValueError: If `inputs` is a tuple or list without exactly two elements.
    """
    inputs = inputs if isinstance(inputs, tuple | list) else (inputs, None)
    if len(inputs) != 2:
        raise ValueError(f"`inputs` must be a tensor or a pair (inputs, condition). Received: {len(inputs)} parts")
    images, condition = inputs
    return tf.convert_to_tensor(images), None if condition is None else tf.convert_to_tensor(condition)


def joined(values, condition):
    """Returns the inputs of an encoder or decoder: `values`, or the pair `(values, condition)`."""
    return values if condition is None else (values, condition)


def weights_by_example(sample_weight, examples):
    """Returns the sample weights as `[B]`, or None if `sample_weight` is None.

    Args:
        sample_weight: `[B]` or `[B,1]`, the shapes that Keras allows, or None.
        examples: `[B,...]`.

    Raises:
        ValueError: If `sample_weight` has another shape.
    """
    if sample_weight is None:
        return None
    sample_weight = tf.convert_to_tensor(sample_weight)
    shape = sample_weight.shape
    if not any(shape.is_compatible_with([examples.shape[0], *rest]) for rest in ([], [1])):
        raise ValueError(
            f"`sample_weight` must be [B] or [B,1] for B={examples.shape[0]} examples. "
            f"Received: sample_weight.shape={shape}"
        )
    return tf.reshape(sample_weight, tf.shape(examples)[:1])
