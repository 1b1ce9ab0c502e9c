"""Finds damage in an exported version: files that are missing, cut off or changed."""

from __future__ import annotations

import pathlib

from ikelos.serving.capi import ExportError
from ikelos.serving.card import read_card, sha256

_COPY = "Copy the version again, or export the model again"


def check_files(version: pathlib.Path, hashes: bool = False) -> None:
    """Checks that a version has all files of its card, each of the right size.

    Of a SavedModel without a card, which another program exported, it checks only that there are a graph and the files
    of its variables.

    Args:
        version: Folder of the version.
        hashes: Whether the content of the files is compared too, which reads all of them.

    Raises:
        ExportError: If a file is missing, cut off or changed; the message names it and says what to do.
    """
    graph = version / "saved_model.pb"
    if not version.is_dir():
        raise ExportError(f"{version} must be the folder of a SavedModel. Received: no folder")
    if not graph.is_file():
        what = "an empty folder" if not any(version.iterdir()) else f"a folder without {graph.name}"
        raise ExportError(f"{version} must be the folder of a SavedModel. Received: {what}")
    if not graph.stat().st_size:
        raise ExportError(f"{graph} must not be empty. {_COPY}")
    card = read_card(version)
    if card is None:
        _check_variables(version / "variables", graph)
        return
    for name, facts in card["files"].items():
        path = version / name
        if not path.is_file():
            raise ExportError(f"{path} is missing. {_COPY}")
        size = path.stat().st_size
        if size != facts["bytes"]:
            raise ExportError(f"{path} must have {facts['bytes']:,} bytes. {_COPY}. Received: {size:,} bytes")
        if hashes and (found := sha256(path)) != facts["sha256"]:
            raise ExportError(f"{path} must have the SHA-256 {facts['sha256']}. {_COPY}. Received: {found}")


def _check_variables(folder: pathlib.Path, graph: pathlib.Path) -> None:
    has_index, has_data = (folder / "variables.index").is_file(), any(folder.glob("variables.data-*"))
    # TensorFlow loads a graph whose variables are missing, and fails only when it runs.
    if not (has_index and has_data) and (has_index or has_data or b"VarHandleOp" in graph.read_bytes()):
        raise ExportError(f"{folder} must have variables.index and variables.data. {_COPY}")
