"""Converts the values of a request into arrays for the inputs of a served model."""

import contextlib
from collections.abc import Mapping

import ml_dtypes
import numpy as np

# For each dtype, by TensorFlow's name: its number in the DataType enumeration and NumPy's dtype. Strings are object
# arrays of bytes.
DTYPES: dict[str, tuple[int, np.dtype]] = {
    "float32": (1, np.dtype("float32")),
    "float64": (2, np.dtype("float64")),
    "int32": (3, np.dtype("int32")),
    "uint8": (4, np.dtype("uint8")),
    "int16": (5, np.dtype("int16")),
    "int8": (6, np.dtype("int8")),
    "string": (7, np.dtype("object")),
    "int64": (9, np.dtype("int64")),
    "bool": (10, np.dtype("bool")),
    "bfloat16": (14, np.dtype(ml_dtypes.bfloat16)),
    "uint16": (17, np.dtype("uint16")),
    "float16": (19, np.dtype("float16")),
    "uint32": (22, np.dtype("uint32")),
    "uint64": (23, np.dtype("uint64")),
}
DTYPE_NAMES: dict[int, str] = {number: name for name, (number, _) in DTYPES.items()}

# For each kind of input (NumPy's letters, with V for bfloat16), the kinds of numbers that a list may contain.
_KINDS_ACCEPTED = {"f": "fiu", "V": "fiu", "i": "iu", "u": "iu", "b": "b"}


def to_array(label: str, value: object, dtype: str, shape: tuple[int | None, ...] | None) -> np.ndarray:
    """Converts `value` into an array for an input.

    Args:
        label: Name of the value in messages, such as `signature 'generate', input 'text'`.
        value: An array of exactly the dtype `dtype`, or nested lists of Python values. Strings are str (encoded as
            UTF-8) or bytes.
        dtype: TensorFlow's name of the dtype, one of `DTYPES`.
        shape: The required sizes, None for any size; None in place of the tuple for any rank.

    Returns:
        An array of the dtype `dtype` in C order, which is `value` itself if it is one already; for strings an object
        array of bytes.

    Raises:
        ValueError: If the value has another dtype, rank or size, or a number that the dtype cannot represent.
    """
    try:
        array = _strings(label, value) if dtype == "string" else _numbers(label, value, dtype)
    except ValueError as error:
        if str(error).startswith(label):
            raise
        raise ValueError(f"{label} must be {dtype} values in lists of equal lengths ({error})") from error
    if shape is not None and not _matches(array.shape, shape):
        raise ValueError(f"{label} must have shape {shape_text(shape)}. Received: shape {array.shape}")
    return array


def is_float(dtype: np.dtype) -> bool:
    """Returns whether a dtype has floats; NumPy knows bfloat16 only as bytes."""
    return dtype.kind == "f" or dtype == DTYPES["bfloat16"][1]


class UnsupportedDtypeError(ValueError):
    """Raised if an input of a signature has a dtype that is not in `DTYPES`."""


def input_arrays(
    signature: str, values: Mapping[str, object], specs: Mapping[str, tuple[str, tuple[int | None, ...] | None]]
) -> dict[str, np.ndarray]:
    """Returns an array for each input of a signature.

    Args:
        signature: Name of the signature, for messages.
        values: A value for each input, as in `to_array`.
        specs: Dtype and shape of each input.

    Raises:
        ValueError: If an input is unknown or missing, or its value does not fit; `UnsupportedDtypeError` if its dtype
            is not in `DTYPES`.
    """
    if set(values) != set(specs):
        raise ValueError(f"Signature {signature!r} must get the inputs {sorted(specs)}. Received: {sorted(values)}")
    arrays = {}
    for name, (dtype, shape) in specs.items():
        label = f"Signature {signature!r}: input {name!r}"
        if dtype not in DTYPES:
            raise UnsupportedDtypeError(f"{label} must have one of the dtypes {', '.join(DTYPES)}. Received: {dtype}")
        arrays[name] = to_array(label, values[name], dtype, shape)
    return arrays


def shape_text(shape: tuple[int | None, ...] | None) -> str:
    """Returns a shape as text for messages, such as `(any, 128)` or `of any rank`."""
    if shape is None:
        return "of any rank"
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"


def _matches(sizes: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    pairs = zip(sizes, shape, strict=False)
    return len(sizes) == len(shape) and all(required in (None, size) for size, required in pairs)


def _strings(label: str, value: object) -> np.ndarray:
    items = np.asarray(value, dtype=object)
    array = np.empty(items.shape, dtype=object)
    for index, item in enumerate(items.flat):
        if not isinstance(item, str | bytes):
            raise ValueError(f"{label} must hold str or bytes. Received: {item!r} ({type(item).__name__})")
        try:
            array.flat[index] = item.encode() if isinstance(item, str) else item
        except UnicodeEncodeError:
            raise ValueError(f"{label} must hold text that UTF-8 can encode. Received: {item!r}") from None
    return array


def _numbers(label: str, value: object, dtype: str) -> np.ndarray:
    target = DTYPES[dtype][1]
    if isinstance(value, np.ndarray | np.generic):
        source = np.asarray(value, order="C")
        if source.dtype != target:
            raise ValueError(f"{label} must have dtype {dtype}. Received: dtype {source.dtype}")
        return source
    source = _from_list(value, target)
    if source.size and source.dtype.kind not in _KINDS_ACCEPTED[target.kind]:
        raise ValueError(f"{label} must hold {dtype} values. Received: values of dtype {source.dtype}")
    if target.kind != "b" and _holds_bool(value):  # which NumPy takes for 0 or 1 among numbers
        raise ValueError(f"{label} must hold {dtype} values. Received: True or False among them")
    with np.errstate(over="ignore"):
        array = source.astype(target, order="C")
    # `astype` turns a number that does not fit into another integer or infinity.
    exact = np.isfinite(array) == np.isfinite(source) if is_float(target) else array == source
    if source.size and not np.all(exact):
        raise ValueError(f"{label} must fit into {dtype}. Received: {source[~exact].flat[0]}")
    return array


def _holds_bool(value: object) -> bool:
    if not isinstance(value, list | tuple):
        return isinstance(value, bool | np.bool_)
    kinds = set(map(type, value))
    if not kinds.isdisjoint((bool, np.bool_)):
        return True
    return not kinds.isdisjoint((list, tuple)) and any(map(_holds_bool, value))


def _from_list(value: object, target: np.dtype) -> np.ndarray:
    source = np.asarray(value)
    if target == np.uint64 and source.dtype == np.float64:
        # NumPy makes floats of integers if only some of them are beyond int64.
        items = np.asarray(value, dtype=object)
        if all(isinstance(item, int) and 0 <= item < 2**64 for item in items.flat):
            return items.astype(np.uint64)
    if is_float(target) and source.dtype == object and all(isinstance(item, int | float) for item in source.flat):
        # Integers beyond 64 bits, as JSON has them for large floats.
        with contextlib.suppress(OverflowError):
            return source.astype(np.float64)
    return source
