"""Scalings of rotary positions, which let a model trained on short texts read longer ones."""

import math

import numpy as np

_REQUIRED = None

# The options of each kind, with their defaults.
OPTIONS: dict[str, dict[str, float | None]] = {
    "linear": {"factor": _REQUIRED},
    "ntk": {"factor": _REQUIRED},
    "yarn": {"factor": _REQUIRED, "original_length": _REQUIRED, "low_rotations": 1.0, "high_rotations": 32.0},
    "llama3": {"factor": _REQUIRED, "original_length": _REQUIRED, "low_rotations": 1.0, "high_rotations": 4.0},
}


def complete(scaling: dict | None) -> dict | None:
    """Returns `scaling` with defaults for the options that it leaves out.

    Raises:
        ValueError: If the kind is unknown, an option is missing or unknown, or a number is out of range.
    """
    if scaling is None:
        return None
    received = f"Received: scaling={scaling}"
    kind = scaling.get("kind")
    if kind not in OPTIONS:
        raise ValueError(f"`scaling` must have a `kind`, one of {list(OPTIONS)}. {received}")
    unknown = scaling.keys() - OPTIONS[kind].keys() - {"kind"}
    options = {**OPTIONS[kind], **scaling}
    missing = [name for name, value in options.items() if value is _REQUIRED]
    if unknown or missing:
        raise ValueError(f"`scaling` of kind {kind!r} has the options {list(OPTIONS[kind])}. {received}")
    if not 1 <= options["factor"] < math.inf:
        raise ValueError(f"`factor` of `scaling` must be at least 1 and finite. {received}")
    if "original_length" in options:
        if not 0 < options["original_length"] < math.inf:
            raise ValueError(f"`original_length` of `scaling` must be positive and finite. {received}")
        if not 0 <= options["low_rotations"] < options["high_rotations"] < math.inf:
            raise ValueError(f"`scaling` must have 0 <= low_rotations < high_rotations. {received}")
    return options


def frequencies(size: int, max_wavelength: float, scaling: dict | None) -> np.ndarray:
    """Returns the radians per position, float64 `[H/2]`, for heads of `size` H and a complete `scaling`.

    Raises:
        ValueError: If H is 2 and the kind is `"ntk"`.
    """
    exponents = np.arange(0, size, 2)
    plain = max_wavelength ** (-exponents / size)
    if scaling is None:
        return plain
    factor = scaling["factor"]
    if scaling["kind"] == "linear":
        return plain / factor
    if scaling["kind"] == "ntk":
        if size == 2:
            raise ValueError("`scaling` of kind 'ntk' needs heads of more than one pair. Received: a head size of 2")
        return plain * factor ** (-exponents / (size - 2))
    rotations = scaling["original_length"] * plain / (2 * math.pi)
    low, high = scaling["low_rotations"], scaling["high_rotations"]
    kept = np.clip((rotations - low) / (high - low), 0, 1)
    return kept * plain + (1 - kept) * plain / factor


def magnitude(scaling: dict | None) -> float:
    """Returns the factor by which queries and keys are multiplied: the square root of 1 over YaRN's temperature."""
    if scaling is None or scaling["kind"] != "yarn":
        return 1.0
    return 0.1 * math.log(scaling["factor"]) + 1
