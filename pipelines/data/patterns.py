"""Finds the files of each split, by patterns for each split or by a hash of the files' names."""

import glob
import hashlib
import os
import pathlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ikelos.pipelines.data.config import SPLITS, Patterns, Shares, Source, Split
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import yaml12

_OF_SYSTEMS = frozenset({"thumbs.db", "desktop.ini"})
"""Files that operating systems add to folders. Hidden files need no entry: no pattern matches them."""


def printable_path(name: str) -> str:
    """Returns a file's name in which bytes that are not UTF-8 are written as `\\xff`, so that it can be printed."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def by_split(
    source: Source, suffixes: tuple[str, ...], divisible: tuple[str, ...] = (), classed: tuple[str, ...] = ()
) -> dict[Split, list[str]]:
    """Returns the files of each split, sorted.

    Args:
        source: Section with `files`.
        suffixes: Suffixes that files may have, in lower case.
        divisible: Suffixes of files that a reader can divide: a single file with one of them is in all splits.
        classed: Suffixes of files whose class is the name of their folder. With shares, a link must not put such a file
            into a second folder, because only the first of a file's names is used.

    Raises:
        UserError: If a pattern matches nothing, a file has none of the suffixes, is in two splits or has two classes,
            or a split would be empty.
    """
    if isinstance(source.files, Patterns):
        of = source.files
        found = {split: _matches(f"files.{split}", getattr(of, split), suffixes) for split in SPLITS}
        _check_disjoint(found)
        return found
    assert source.files is not None
    assert isinstance(source.splits, Shares)
    paths = _matches("files", [source.files] if isinstance(source.files, str) else source.files, suffixes)
    _check_one_class(paths, classed)
    # A link to another file of the list has another name, and could be drawn into another split. So of all names of a
    # file, only the first is used.
    paths = sorted({os.path.realpath(path): path for path in reversed(paths)}.values())
    if len(paths) == 1 and paths[0].lower().endswith(divisible):
        return dict.fromkeys(SPLITS, paths)
    shared: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for path in paths:
        shared[_split_of(path, source.splits)].append(path)
    for split, some in shared.items():
        if not some:
            raise UserError(
                f"`splits` must give each split one of the {len(paths)} files. Received: "
                f"splits={source.splits.model_dump()}, which gives none to {split}, because the hash of a file's name "
                f"decides its split; choose other shares, or name the files of each split (files.{split})"
            )
    return shared


def identity(paths: Mapping[Split, Sequence[str]]) -> Any:
    """Returns the state of the files of each split as JSON: their number, and a hash of paths, sizes and times."""
    states = {}
    for split, found in paths.items():
        digest = hashlib.sha256()
        for path in found:
            state = os.stat(path)
            places = f"{os.path.abspath(path)}\0{os.path.realpath(path)}"
            digest.update(os.fsencode(f"{places}\0{state.st_size}\0{state.st_mtime_ns}\0"))
        states[split] = {"files": len(found), "sha256": digest.hexdigest()}
    return states


def _matches(key: str, patterns: Sequence[str], suffixes: tuple[str, ...]) -> list[str]:
    found = set()
    for pattern in patterns:
        paths = _files(os.path.expanduser(pattern))
        if not paths:
            advice = "; braces are not expanded: write a list of patterns" if re.search(r"\{.*,.*\}", pattern) else ""
            folder = printable_path(str(pathlib.Path.cwd()))
            raise UserError(
                f"`{key}` must match a file. Received: {key}={pattern!r}, without a match in {folder}{advice}"
            )
        found.update(paths)
    for path in sorted(found):
        if not path.lower().endswith(suffixes):
            raise UserError(
                f"`{key}` must match only files with the suffixes {', '.join(suffixes)}. Received: "
                f"{printable_path(path)}{_narrower(key, patterns, found, suffixes)}"
            )
    return sorted(found)


def _narrower(key: str, patterns: Sequence[str], found: Iterable[str], suffixes: tuple[str, ...]) -> str:
    """Returns advice for an error: patterns that match the found files with one of the suffixes and leave others out.

    The advice is empty if no file has one of the suffixes, or if a pattern is neither a folder nor one of all files in
    a folder.
    """
    stems = []
    for pattern in patterns:
        name = os.path.basename(pattern)
        if os.path.isdir(os.path.expanduser(pattern)):
            stems.append(os.path.join(pattern, "**", "*"))
        elif name == "*":
            stems.append(pattern)
        elif name == "**":
            stems.append(os.path.join(pattern, "*"))
        else:
            return ""
    # As they are written: patterns distinguish upper and lower case.
    present = sorted({path[-len(suffix) :] for path in found for suffix in suffixes if path.lower().endswith(suffix)})
    if not present:
        return ""
    narrower = yaml12.inline([stem + suffix for stem in stems for suffix in present])
    return f"; to leave other files out: --set {shlex.quote(f'data.source.{key}={narrower}')}"


def _files(pattern: str) -> list[str]:
    """Returns the files that a pattern matches; for a folder, all files in it."""
    if os.path.isdir(pattern):
        pattern = os.path.join(glob.escape(pattern), "**")
    # A file whose name has brackets can be given by that name, as in a shell.
    paths = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
    return [path for path in paths if os.path.isfile(path) and os.path.basename(path).lower() not in _OF_SYSTEMS]


def _check_disjoint(found: Mapping[Split, Iterable[str]]) -> None:
    """Raises UserError if a file is in two splits, under one name or two."""
    splits_of: dict[str, Split] = {}
    for split, paths in found.items():
        for path in paths:
            first = splits_of.setdefault(os.path.realpath(path), split)
            if first != split:
                raise UserError(
                    f"`files` must have each file in one split. Received: {printable_path(path)}, which is in "
                    f"files.{first} and files.{split}"
                )


def _check_one_class(paths: Iterable[str], classed: tuple[str, ...]) -> None:
    """Raises UserError if a link puts a file with one of these suffixes into two folders of different names."""
    first_of: dict[str, str] = {}
    for path in paths:
        if not path.lower().endswith(classed):
            continue
        first = first_of.setdefault(os.path.realpath(path), path)
        if _class_folder(first) != _class_folder(path):
            raise UserError(
                "`files` must have each file in one folder, whose name is its class, if `splits` are shares. Received: "
                f"{printable_path(first)} and {printable_path(path)}, the same file"
            )


def _class_folder(path: str) -> str:
    return os.path.basename(os.path.dirname(os.path.abspath(path)))


def _split_of(path: str, shares: Shares) -> Split:
    """Returns the split of a file, which a hash of its name and its folder's name decides.

    So the split does not change if other files are added or the folder is moved.
    """
    folder, name = os.path.split(os.path.abspath(path))
    return drawn_split(os.fsencode(f"{os.path.basename(folder)}/{name}"), shares)


def drawn_split(key: bytes, shares: Shares) -> Split:
    """Returns the split that a hash of `key` decides."""
    drawn = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") / 2**64
    if drawn < shares.test:
        return "test"
    return "validation" if drawn < shares.test + shares.validation else "train"
