"""The inputs of a variational autoencoder and of its networks: examples, conditions and weights, and their checks."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer


def check_network(name, network, family_name, family):
    """Refuses a network that is known not to output the parameters of its distribution layer.

    Args:
        name: "encoder" or "decoder", for the error.
        network: Layer or model.
        family_name: "posterior" or "likelihood".
        family: The distribution layer.

    Raises:
        ValueError: If it does not, or is no Keras layer.
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
    """Refuses a condition that a network would ignore, and a missing one.

    The inputs of a subclassed network are not known, and not checked.

    Args:
        name: "encoder" or "decoder", for the error.
        network: Layer or model.
        condition: Tensor or None.

    Raises:
        ValueError: If there is one.
    """
    known = getattr(network, "inputs", None)
    if known and (len(known) > 1) != (condition is not None):
        must = "None" if len(known) == 1 else "given"
        raise ValueError(
            f"`condition` must be {must}, because `{name}` has {len(known)} input{'s' * (len(known) > 1)}. "
            f"Received: condition={condition if condition is None else condition.shape}"
        )


def are_paired(shape):
    """Whether a shape is a pair of shapes, of inputs and condition."""
    return isinstance(shape[0], tuple | list)


def pair(inputs):
    """Inputs and their condition, or None, as tensors: Keras does not take arrays and tensors together.

    Raises:
        ValueError: If there are more or fewer than two in a tuple or list.
    """
    inputs = inputs if isinstance(inputs, tuple | list) else (inputs, None)
    if len(inputs) != 2:
        raise ValueError(f"`inputs` must be a tensor or a pair (inputs, condition). Received: {len(inputs)} parts")
    images, condition = inputs
    return tf.convert_to_tensor(images), None if condition is None else tf.convert_to_tensor(condition)


def joined(values, condition):
    """The inputs of encoder or decoder."""
    return values if condition is None else (values, condition)


def by_example(sample_weight, examples):
    """Weights `[B]` from weights `[B]` or `[B,1]`, the shapes that Keras takes; None remains None.

    Raises:
        ValueError: If they have another shape than that for the examples `[B,...]`.
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
