"""Values at the door of a served model: what may enter an input, as one numpy array."""

import numpy as np

# TensorFlow's name of a dtype -> (its number in the DataType enumeration, numpy's dtype). Strings are arrays
# of bytes objects.
DTYPES: dict[str, tuple[int, np.dtype]] = {
    "float32": (1, np.dtype("float32")),
    "float64": (2, np.dtype("float64")),
    "int32": (3, np.dtype("int32")),
    "uint8": (4, np.dtype("uint8")),
    "string": (7, np.dtype("object")),
    "int64": (9, np.dtype("int64")),
    "bool": (10, np.dtype("bool")),
}
DTYPE_NAMES: dict[int, str] = {number: name for name, (number, _) in DTYPES.items()}

# Kinds of Python numbers (numpy's letters) that a list may hold for an input of each kind.
_KINDS_TAKEN = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}


def to_array(label: str, value: object, dtype: str, shape: tuple[int | None, ...] | None) -> np.ndarray:
    """Turns `value` into the array that an input takes, or says why it can't be one.

    Args:
        label: how the message calls the value, such as `signature 'generate', input 'text'`.
        value: an array of exactly that dtype, or nested lists of Python values. Strings are str (sent as
            UTF-8) or bytes.
        dtype: TensorFlow's name of the dtype, one of `DTYPES`.
        shape: the sizes asked for, `None` for any size; `None` in place of the tuple for any rank.

    Returns:
        An array of that dtype in C order; for strings an object array of bytes.

    Raises:
        ValueError: the value has another dtype, rank or size, or a number that the dtype can't hold.
    """
    try:
        array = _strings(label, value) if dtype == "string" else _numbers(label, value, dtype)
    except ValueError as error:
        if str(error).startswith(label):
            raise
        raise ValueError(f"{label} must be a full rectangle of {dtype} values ({error})") from error
    if shape is not None and not _fits(array.shape, shape):
        raise ValueError(f"{label} must have shape {shape_text(shape)}. Received: shape {array.shape}")
    return array


def shape_text(shape: tuple[int | None, ...] | None) -> str:
    """A shape for a message: `(any, 128)`, or `of any rank`."""
    if shape is None:
        return "of any rank"
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"


def _fits(sizes: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    pairs = zip(sizes, shape, strict=False)
    return len(sizes) == len(shape) and all(wanted in (None, size) for size, wanted in pairs)


def _strings(label: str, value: object) -> np.ndarray:
    given = np.asarray(value, dtype=object)
    array = np.empty(given.shape, dtype=object)
    for index, item in enumerate(given.flat):
        if not isinstance(item, str | bytes):
            raise ValueError(f"{label} must hold str or bytes. Received: {item!r} ({type(item).__name__})")
        array.flat[index] = item.encode() if isinstance(item, str) else item
    return array


def _numbers(label: str, value: object, dtype: str) -> np.ndarray:
    wanted = DTYPES[dtype][1]
    given = np.asarray(value)
    if isinstance(value, np.ndarray | np.generic):
        if given.dtype != wanted:
            raise ValueError(f"{label} must have dtype {dtype}. Received: dtype {given.dtype}")
    elif given.size and given.dtype.kind not in _KINDS_TAKEN[wanted.kind]:
        raise ValueError(f"{label} must hold {dtype} values. Received: values of dtype {given.dtype}")
    with np.errstate(over="ignore"):
        array = given.astype(wanted, order="C")
    # A number that does not fit comes back as another integer or as infinity.
    kept = np.isfinite(array) == np.isfinite(given) if wanted.kind == "f" else array == given
    if given.size and not np.all(kept):
        raise ValueError(f"{label} must fit into {dtype}. Received: {given[~kept].flat[0]}")
    return array
