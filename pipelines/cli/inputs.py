"""Builds the inputs of a signature from the command line, a file and the model's examples."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ikelos.pipelines.cli.failures import reason
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import yaml12
from ikelos.pipelines.recipe.errors import received
from ikelos.serving.protocol.rest import from_json, holds_bytes
from ikelos.serving.values import shape_text, to_array

Specs = Mapping[str, tuple[str, tuple[int | None, ...] | None]]


def gather(
    specs: Specs, given: Iterable[str], file: Path | None, examples: Mapping[str, list]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Builds one batch of inputs.

    Args:
        specs: Dtype and shape of each input, by name.
        given: Texts `"name=value"`; several of one name make a batch. If the name of an input ends in `_bytes`, the
            value is the path of a file with the bytes.
        file: Path of a JSON file `{name: [value, ...]}`, with bytes as `{"b64": ...}`, or None.
        examples: Batches of values by name; the first row is taken for an input that is not given.

    Returns:
        An array for each input, and the names of the inputs that were taken from the examples. All arrays have the same
        number of rows: an input with one row is repeated.

    Raises:
        UserError: If an argument or the file cannot be read, an input is unknown, missing, given twice or of another
            dtype or shape, or the numbers of rows differ.
    """
    values: dict[str, list] = {} if file is None else _read(file)
    label = dict.fromkeys(values, f"{file}")
    for name in values:
        _check_known(label[name], name, specs)
    for text in given:
        name, equals, written = text.partition("=")
        if not equals:
            raise UserError(f"--input must be NAME=VALUE. Received: {text!r}")
        _check_known(f"--input {text}", name, specs)
        if name in label and label[name] != "--input":
            raise UserError(f"{name} must be given once. Received: --input {text}, and a value in {file}")
        label[name] = "--input"
        values.setdefault(name, []).append(_parse(text, name, written, *specs[name]))
    taken = [name for name in specs if name not in values]
    for name in taken:
        if name not in examples:
            dtype, shape = specs[name]
            wanted = f"{dtype}, shape {shape_text(shape)}"
            raise UserError(f"{name} must be given, as --input {name}=VALUE ({wanted}). Received: no value")
        values[name], label[name] = examples[name][:1], "the example"
    arrays = {}
    for name, value in values.items():
        if not value:
            raise UserError(f"{label[name]}: input {name} must have at least one value. Received: []")
        try:
            arrays[name] = to_array(f"{label[name]}: input {name}", value, *specs[name])
        except ValueError as error:
            raise UserError(str(error)) from None
    return _same_rows(arrays), taken


def _check_known(where: str, name: str, specs: Specs) -> None:
    if name not in specs:
        known = ", ".join(f"{key} ({dtype})" for key, (dtype, _) in specs.items())
        raise UserError(f"{where}: an input must be one of {known}. Received: {name}")


def _parse(text: str, name: str, value: str, dtype: str, shape: tuple[int | None, ...] | None) -> Any:
    """Returns one row of an input: a string as written, a number or list parsed as YAML, or the content of a file."""
    if dtype == "string" and shape is not None and len(shape) == 1:
        # Python decodes arguments that are not UTF-8 with surrogates; `fsencode` gives their bytes back.
        return _content(text, Path(value)) if holds_bytes(name) else os.fsencode(value)
    row_shape = None if shape is None else shape[1:]
    try:
        row, _ = yaml12.loads(value)
        to_array("row", row, dtype, row_shape)
    except (ValueError, yaml.YAMLError):
        kind = dtype if row_shape == () else f"{dtype} of shape {shape_text(row_shape)}"
        raise UserError(f"--input {text}: must be {kind}. Received: {value!r}") from None
    return row


def _content(text: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"--input {text}: cannot read {file}: {reason(error)}") from None


def _read(file: Path) -> dict[str, list]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise UserError(f"{file} must be JSON. Received: lists that are nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} must be JSON. Received: {error}") from None
    except OSError as error:
        raise UserError(f"--json {file}: cannot read it: {reason(error)}") from None
    if not isinstance(values, dict) or not all(isinstance(value, list) for value in values.values()):
        raise UserError(f'{file} must be {{"name": [value, ...], ...}}. Received: {received(values)}')
    try:
        return {name: from_json(value) for name, value in values.items()}
    except ValueError as error:
        raise UserError(f"{file}: {error}") from None


def _same_rows(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = {name: len(array) for name, array in arrays.items()}
    most = max(rows.values(), default=0)
    for name, count in rows.items():
        if count not in (1, most):
            raise UserError(f"input {name} must have 1 value, or {most} like other inputs. Received: {count}")
    return {name: np.repeat(array, most // rows[name], axis=0) for name, array in arrays.items()}
