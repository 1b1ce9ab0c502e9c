"""Remembers which eager calls of an op passed all checks, so that their like go straight to the native op.

In eager mode, the checks of an op's arguments and the choice of its implementation take several times as long as a
small op. Both depend only on the call's signature: shapes, dtypes, options, and what is requested by `use` and
`IKELOS_KERNELS`. Only the contents of tensors are checked at each call, by the native op itself.
"""

import types
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from ikelos.kernels import dispatch

EagerTensor = tf.__internal__.EagerTensor

# A program that changes an option at each call, such as the offset of decoding, must not fill the memory.
MOST_SIGNATURES = 1000

# Elements of the constants of a call, such as zeros in place of states, that are kept for the next one.
MOST_CONSTANTS = 4096

# Options of other types may compare equal although the checks tell them apart.
PLAIN = frozenset((types.NoneType, bool, int, float, str))

Tensors = tuple[tf.Tensor | None, ...]


class _Checked(NamedTuple):
    constants: Tensors | None  # in the places of arguments that are None, such as zeros; None if there are none
    attributes: tuple


_checked: dict[tuple, _Checked] = {}


def signature(op_name: str, tensors: tuple, options: tuple) -> tuple | None:
    """Returns all that decides how an eager call is checked and run, except for the contents of its tensors.

    Args:
        op_name: An op of `ikelos.kernels`.
        tensors: The arguments that become the native op's inputs, in its order; None if not given.
        options: All other arguments.

    Returns:
        The signature. None in a graph, if an argument must be converted to a tensor first, or if an option is neither
        a plain value nor a tuple of plain values.
    """
    if not tf.executing_eagerly():
        return None
    kinds: list[Any] = []
    for x in tensors:
        if x is None:
            kinds.append(None)
        elif type(x) is EagerTensor:
            kinds.append((x._datatype_enum(), x._shape_tuple()))  # x.dtype and x.shape take several times as long
        else:
            return None
    for option in options:
        # The types too, because 1, 1.0 and True are equal.
        kind = type(option)
        if kind is tuple:
            inner = tuple(map(type, option))
            if not PLAIN.issuperset(inner):
                return None
            kinds.append(inner)
        elif kind in PLAIN:
            kinds.append(kind)
        else:
            return None
    device = None if tensors[0] is None else tensors[0].device
    return op_name, device, options, *dispatch.requests(), *kinds


def repeat(known: tuple | None, tensors: tuple, native: Callable[[Tensors, tuple], Any]) -> Any:
    """Runs the native op if a call of this signature was remembered.

    Args:
        known: The call's signature.
        tensors: As in `signature`.
        native: Function that runs the native op on its inputs and attributes.

    Returns:
        The op's outputs. None if there is no such signature, or the op rejects the contents of a tensor: then the
        caller repeats all checks, which raise the error that users are to see.
    """
    checked = _checked.get(known)  # type: ignore[arg-type]
    if checked is None:
        return None
    inputs = tensors
    if checked.constants is not None:
        inputs = tuple(constant if x is None else x for x, constant in zip(tensors, checked.constants, strict=True))
    try:
        return native(inputs, checked.attributes)
    except tf.errors.InvalidArgumentError:
        return None


def remember(known: tuple | None, tensors: tuple, inputs: Tensors, attributes: tuple) -> None:
    """Remembers the signature of a call that passed all checks and ran the native op.

    It does so only if each tensor became an input of the op unchanged. So the other inputs depend on the signature
    alone.

    Args:
        known: The call's signature; None remembers nothing.
        tensors: As in `signature`.
        inputs: The op's inputs, each in the place of the argument from which it was made.
        attributes: The op's attributes.
    """
    pairs = list(zip(inputs, tensors, strict=True))
    if known is None or any(given is not None and x is not given for x, given in pairs):
        return
    constants = tuple(x if given is None else None for x, given in pairs)
    if sum(x.shape.num_elements() for x in constants if x is not None) > MOST_CONSTANTS:
        return
    if len(_checked) >= MOST_SIGNATURES:
        _checked.clear()
    _checked[known] = _Checked(constants if any(x is not None for x in constants) else None, attributes)
