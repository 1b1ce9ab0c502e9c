"""The requests that TensorFlow Serving logged, as examples to be compared with the training examples."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ikelos.pipelines.data import fingerprint, patterns, records
from ikelos.pipelines.errors import UserError
from ikelos.serving import prediction_log

_DTYPES = {bytes: "O", int: "iub"}
"""The kinds of NumPy's dtypes for each kind of feature."""
_OF_BYTES = "_bytes"
"""Suffix of the names of inputs with bytes that are not text, such as `image_bytes` for the feature `image`."""


def write(log_patterns: Sequence[str], kinds: Mapping[str, type], limited: Sequence[str], path: Path) -> int:
    """Writes the rows of logged requests as examples, to be compared with the training examples.

    A row has the features that its inputs give. An input gives the feature of its name, without an ending `_bytes`, if
    it has one value for each row, and both hold bytes or both hold integers. The feature `bytes` is the size of the
    row's bytes. Rows without a feature are left out.

    Args:
        log_patterns: Patterns of the files of logged requests.
        kinds: `bytes` or `int` for each feature of the training examples.
        limited: Features that the requests must give.
        path: File to write.

    Returns:
        The number of rows that were written; 0 if there are no logged requests.

    Raises:
        UserError: If a file has other content, or no request gives one of the features `limited`.
    """
    import tensorflow as tf

    rows = 0
    given: set[str] = set()
    inputs: set[str] = set()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for file in _log_files(log_patterns):
            try:
                for request in prediction_log.requests(Path(file)):
                    inputs |= request.keys()
                    for features in _rows(file, request, kinds):
                        writer.write(_encoded(file, features))
                        given |= features.keys()
                        rows += 1
            except ValueError as error:
                raise UserError(f"`pipeline.skew.requests` must match logs of requests only: {error}") from error
    if inputs and (missing := sorted(set(limited) - given)):
        raise UserError(
            "`pipeline.skew.limits` must name features that the requests give: "
            f"{', '.join(sorted(given)) or 'there are none'} (of the inputs {', '.join(sorted(inputs))}). "
            f"Received: {', '.join(missing)}"
        )
    return rows


def state(log_patterns: Sequence[str]) -> str:
    """Returns a text that changes whenever the files of logged requests change. Reads none of them."""
    return fingerprint.sha256([json.dumps(patterns.state(_log_files(log_patterns))).encode()])


def _encoded(file: str, features: Mapping[str, Any]) -> bytes:
    try:
        return records.encode(features)
    except ValueError as error:
        raise ValueError(f"{file} must have integers below 2^63. Received: {error}") from error


def _log_files(log_patterns: Sequence[str]) -> list[str]:
    return sorted({file for pattern in log_patterns for file in patterns.matches(pattern)})


def _rows(file: str, request: Mapping[str, np.ndarray], kinds: Mapping[str, type]) -> Iterator[dict[str, Any]]:
    """Yields the features of each row of a request that has any.

    Raises:
        ValueError: If inputs have different numbers of rows.
    """
    columns = {}
    for feature in sorted(kinds.keys() - set(records.OWN)):
        for name in (feature, feature + _OF_BYTES):
            values = request.get(name)
            if values is not None and values.ndim == 1 and values.dtype.kind in _DTYPES[kinds[feature]]:
                columns[feature] = values.tolist()
                break
    if len({len(values) for values in columns.values()}) > 1:
        received = ", ".join(f"{name} with {len(values)}" for name, values in columns.items())
        raise ValueError(f"{file} must have requests whose inputs have the same number of rows. Received: {received}")
    for row in zip(*columns.values(), strict=True):
        features = dict(zip(columns, row, strict=True))
        contents = [value for name, value in features.items() if isinstance(value, bytes) and name not in records.NAMES]
        if contents:
            features["bytes"] = sum(map(len, contents))
        yield features
