"""Tensors of TensorFlow Serving's messages as NumPy arrays."""

import math

import numpy as np

from ikelos.serving.protocol.messages import DataType, TensorProto, TensorShapeProto
from ikelos.serving.values import DTYPE_NAMES, DTYPES

MAX_BYTES = 2**31
"""Most bytes of an array by default: as many as a message can hold."""

# For each dtype: the field with its values if they are not in `tensor_content`. Floats of 16 bits are there as their
# bits.
_VALUES = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "int16": "int_val",
    "int8": "int_val",
    "uint16": "int_val",
    "uint8": "int_val",
    "string": "string_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "bfloat16": "half_val",
    "float16": "half_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
}
_MAX_RANK = 64  # of NumPy's arrays
_POINTER_BYTES = 8  # what an object array holds for each string, besides the string


def to_tensor_proto(array: np.ndarray) -> TensorProto:
    """Returns a TensorProto with the values of an array, as bytes in `tensor_content` or, for strings, in `string_val`.

    Args:
        array: An array of one of NumPy's dtypes in `values.DTYPES`; an object array must hold bytes.

    Raises:
        ValueError: If the array has another dtype, or an object array holds something else.
    """
    name = "string" if array.dtype == object else array.dtype.name
    # The comparison refuses another order of bytes.
    if name not in DTYPES or array.dtype != DTYPES[name][1]:
        raise ValueError(f"`array` must have one of the dtypes {', '.join(DTYPES)}. Received: dtype {array.dtype}")
    tensor = TensorProto(dtype=DTYPES[name][0], tensor_shape=to_shape_proto(array.shape))
    if name == "string":
        for value in array.flat:
            if not isinstance(value, bytes):
                raise ValueError(f"`array` must hold bytes. Received: {value!r} ({type(value).__name__})")
        tensor.string_val.extend(array.flat)
    else:
        tensor.tensor_content = array.tobytes()
    return tensor


def from_tensor_proto(label: str, tensor: TensorProto, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Returns the values of a TensorProto as an array that owns its memory; strings are an object array of bytes.

    Args:
        label: Name of the tensor in messages, such as `input 'text'`.
        tensor: A message of this package or of TensorFlow. Its values are in `tensor_content` or in the field of its
            dtype (`float_val`, ...). If that field has fewer values than the shape asks for, the last one is repeated,
            or zero if there is none.
        max_bytes: Most bytes of the array and of its strings. A message of a few bytes can ask for any number.

    Raises:
        ValueError: If the tensor has a dtype that is not in `values.DTYPES`, a shape that is not known or needs more
            than `max_bytes`, or values that do not fit its shape or dtype.
    """
    if tensor.dtype not in DTYPE_NAMES:
        raise ValueError(
            f"{label} must have one of the dtypes {', '.join(DTYPES)}. Received: {dtype_name(tensor.dtype)}"
        )
    name = DTYPE_NAMES[tensor.dtype]
    dtype = DTYPES[name][1]
    shape = _known_shape(label, tensor)
    size = math.prod(shape)
    # NumPy refuses a product beyond 64 bits even if another size is 0.
    if math.prod(max(1, extent) for extent in shape) * dtype.itemsize > max_bytes:
        raise ValueError(f"{label} must have at most {max_bytes} bytes. Received: {name} of shape {shape}")
    field = _VALUES[name]
    values, content = getattr(tensor, field), tensor.tensor_content
    if content and len(values):
        raise ValueError(f"{label} must have its values in `tensor_content` or `{field}`. Received: both")
    if name == "string":
        return _strings(label, values, content, shape, max_bytes)
    if content:
        if len(content) != size * dtype.itemsize:
            raise ValueError(
                f"{label} must have {size * dtype.itemsize} bytes for {name} of shape {shape}. "
                f"Received: {len(content)} bytes in `tensor_content`"
            )
        # From a copy, because an array of the message's bytes would be read-only.
        return _checked(label, np.frombuffer(bytearray(content), dtype).reshape(shape))
    _check_count(label, field, len(values), shape)
    array = np.zeros(size, dtype)
    given = _numbers(label, field, values, dtype)
    array[: len(given)] = given
    if len(given):
        array[len(given) :] = given[-1]
    return array.reshape(shape)


def to_shape_proto(shape: tuple[int | None, ...] | None) -> TensorShapeProto:
    """Returns a shape as a message; None stands for any size, or for any rank in place of the tuple."""
    if shape is None:
        return TensorShapeProto(unknown_rank=True)
    return TensorShapeProto(dim=[{"size": -1 if size is None else size} for size in shape])


def from_shape_proto(shape: TensorShapeProto) -> tuple[int | None, ...] | None:
    """Returns a shape with None for any size, or None for any rank."""
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def dtype_name(number: int) -> str:
    """Returns TensorFlow's name of a dtype, such as `float32`, or that of the enumeration if it is not in `DTYPES`."""
    if number in DTYPE_NAMES:
        return DTYPE_NAMES[number]
    return DataType.Name(number) if number in DataType.values() else f"DataType {number}"


def _known_shape(label: str, tensor: TensorProto) -> tuple[int, ...]:
    shape = tensor.tensor_shape
    if shape.unknown_rank:
        raise ValueError(f"{label} must have a known shape. Received: unknown rank")
    if len(shape.dim) > _MAX_RANK:
        raise ValueError(f"{label} must have at most {_MAX_RANK} axes. Received: {len(shape.dim)}")
    sizes = tuple(dim.size for dim in shape.dim)
    if any(size < 0 for size in sizes):
        raise ValueError(f"{label} must have a known shape. Received: {sizes}")
    return sizes


def _check_count(label: str, field: str, count: int, shape: tuple[int, ...]) -> None:
    if count > math.prod(shape):
        raise ValueError(
            f"{label} must have at most {math.prod(shape)} values for the shape {shape}. Received: {count} in `{field}`"
        )


def _checked(label: str, array: np.ndarray) -> np.ndarray:
    if array.dtype == bool and np.any(array.view(np.uint8) > 1):
        raise ValueError(f"{label} must hold the bytes 0 and 1. Received: {array.view(np.uint8).max()}")
    return array


def _numbers(label: str, field: str, values, dtype: np.dtype) -> np.ndarray:
    if field == "half_val":
        return _fit(label, np.array(values, np.int64), np.dtype(np.uint16)).view(dtype)
    if field == "int_val":
        return _fit(label, np.array(values, np.int64), dtype)
    return np.array(values, dtype)


def _fit(label: str, numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns 64-bit integers as those of another dtype."""
    array = numbers.astype(dtype)
    wrong = array != numbers
    if wrong.any():
        raise ValueError(f"{label} must hold {dtype.name} values. Received: {numbers[wrong][0]}")
    return array


def _strings(label: str, values, content: bytes, shape: tuple[int, ...], max_bytes: int) -> np.ndarray:
    size = math.prod(shape)
    strings = _split(label, content, size) if content else list(values)
    _check_count(label, "string_val", len(strings), shape)
    last = strings[-1] if strings else b""
    missing = size - len(strings)
    # A model's tensor has a copy of each.
    total = sum(map(len, strings)) + missing * len(last) + size * _POINTER_BYTES
    if total > max_bytes:
        raise ValueError(f"{label} must have at most {max_bytes} bytes. Received: {total}")
    array = np.empty(size, object)
    array[: len(strings)] = strings
    array[len(strings) :] = last
    return array.reshape(shape)


def _split(label: str, content: bytes, count: int) -> list[bytes]:
    """Returns the strings of a `tensor_content`: their lengths as varints, then all their bytes."""
    lengths, position = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if position >= len(content) or shift > 28:
                raise ValueError(f"{label} must have {count} strings in `tensor_content`. Received: damaged lengths")
            byte = content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise ValueError(
            f"{label} must have {position + sum(lengths)} bytes in `tensor_content`. Received: {len(content)}"
        )
    strings = []
    for length in lengths:
        strings.append(content[position : position + length])
        position += length
    return strings
