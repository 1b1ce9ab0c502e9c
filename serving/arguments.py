"""Checks of arguments, whose errors name the argument, say what it must be and show what came."""

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np


def require(fits: bool, name: str, must_be: str, value: object, owner: str = "") -> None:
    """Checks that an argument fits.

    Args:
        fits: Whether it does.
        name: Its name.
        must_be: What it must be, such as "a positive integer".
        value: What came.
        owner: Whose argument it is, such as "Signature 'f'", where the name alone does not say so.

    Raises:
        ValueError: If it does not fit.
    """
    if not fits:
        raise ValueError(f"{owner and f'{owner}: '}`{name}` must be {must_be}. Received: {name}={value!r}")


def most(name: str, value: Any, owner: str = "") -> int | None:
    """Returns a limit, a positive integer of Python or NumPy or None for no limit, as one of Python or None.

    Raises:
        ValueError: If it is neither.
    """
    fits = value is None or (is_integer(value) and value > 0)
    require(fits, name, "a positive integer or None", value, owner)
    return None if value is None else int(value)


def is_integer(value: object) -> bool:
    """Returns whether a value is an integer of Python or NumPy, but not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Returns whether a value is a real number of Python or NumPy, finite or not, but not a bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def json_data(name: str, value: Any) -> Any:
    """Returns an argument as JSON data: numbers and arrays of NumPy become those of Python, tuples lists.

    Raises:
        ValueError: If it holds anything else, or a number that is not finite, which JSON cannot write.
    """
    if isinstance(value, Mapping):
        return {str(key): json_data(f"{name}[{key!r}]", one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [json_data(f"{name}[{place}]", one) for place, one in enumerate(value)]
    fits = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    require(fits, name, "text, finite numbers, True, False, None, or lists and dicts of these", value)
    return value
