"""Finds the files of each split, by patterns for each split or by a hash of the files' names."""

import fnmatch
import glob
import hashlib
import os
import pathlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ikelos.pipelines.data.config import SPAN, SPLITS, Patterns, Shares, Source, Split
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import yaml12

_OF_SYSTEMS = frozenset({"thumbs.db", "desktop.ini"})
"""Files that operating systems add to folders. Hidden files need no entry: no pattern matches them."""
_SPANS = (re.compile("(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])"), re.compile("[0-9]+"))
"""Dates and numbers, for which `{SPAN}` stands; a number only where a date does not fit."""
_SortKey = tuple[int, ...]
"""The numbers of a span, by which spans are ordered."""


def printable_path(name: str) -> str:
    """Returns a file's name in which bytes that are not UTF-8 are written as `\\xff`, so that it can be printed."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def by_split(
    source: Source, suffixes: tuple[str, ...], divisible: tuple[str, ...] = (), classed: tuple[str, ...] = ()
) -> dict[Split, list[str]]:
    """Returns the files of each split, sorted.

    Args:
        source: Section with `files`. With `spans`, patterns with `{SPAN}` match only files of the newest spans of the
            training files, in all splits.
        suffixes: Suffixes that files may have, in lower case.
        divisible: Suffixes of files that a reader can divide: a single file with one of them is in all splits.
        classed: Suffixes of files whose class is the name of their folder. With shares, a link must not put such a file
            into a second folder, because only the first of a file's names is used.

    Raises:
        UserError: If a pattern matches nothing; a file has none of the suffixes, is in two splits, or has two spans or
            two classes; or a split would be empty.
    """
    newest = None if source.spans is None else _newest_spans(source.training_patterns, source.spans)
    matches = [_matches(key, patterns, suffixes, newest) for key, patterns in source.patterns.items()]
    if isinstance(source.files, Patterns):
        found = dict(zip(SPLITS, matches, strict=True))
        _check_disjoint(found)
        return found
    assert isinstance(source.splits, Shares)
    (paths,) = matches
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


def matches(pattern: str) -> list[str]:
    """Returns the files that a pattern matches; for a folder, all files in it."""
    pattern = os.path.expanduser(pattern)
    if os.path.isdir(pattern):
        pattern = os.path.join(glob.escape(pattern), "**")
    # A file whose name has brackets can be given by that name, as in a shell.
    paths = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
    return [path for path in paths if os.path.isfile(path) and os.path.basename(path).lower() not in _OF_SYSTEMS]


def identity(paths: Mapping[Split, Sequence[str]]) -> Any:
    """Returns the state of the files of each split as JSON, as `state` gives it."""
    return {split: state(found) for split, found in paths.items()}


def state(paths: Sequence[str]) -> dict[str, Any]:
    """Returns the state of files as JSON: their number, and a hash of paths, sizes and times."""
    digest = hashlib.sha256()
    for path in paths:
        status = os.stat(path)
        places = f"{os.path.abspath(path)}\0{os.path.realpath(path)}"
        digest.update(os.fsencode(f"{places}\0{status.st_size}\0{status.st_mtime_ns}\0"))
    return {"files": len(paths), "sha256": digest.hexdigest()}


def _newest_spans(patterns: Sequence[str], number: int) -> dict[_SortKey, str]:
    """Returns the newest spans of which there are files, the oldest of them first."""
    found = {
        _sort_key(span): span
        for pattern in patterns
        for concrete, span in _with_spans(pattern)
        if span is not None and matches(concrete)
    }
    ordered = sorted(found, key=lambda numbers: (len(numbers), numbers))
    if ordered and len(ordered[0]) != len(ordered[-1]):
        raise UserError(
            f"`files` must have only numbers or only dates at `{SPAN}`, because `spans` takes the newest. Received: "
            f"{found[ordered[0]]} and {found[ordered[-1]]}"
        )
    return {numbers: found[numbers] for numbers in ordered[-number:]}


def _sort_key(span: str) -> _SortKey:
    return tuple(int(part) for part in span.split("-"))


def _with_spans(pattern: str) -> Iterator[tuple[str, str | None]]:
    """Yields the patterns that a pattern with `{SPAN}` stands for, each with its span; others as they are.

    Raises:
        UserError: If a name has two parts that could be its span.
    """
    pattern = os.path.expanduser(pattern)
    if SPAN not in pattern:
        yield pattern, None
        return
    before, _, after = pattern.partition(SPAN)
    folder, prefix = os.path.split(before)
    suffix, slash, below = after.partition("/")
    # Not `*` alone, which would be `**` after a prefix that ends with `*`.
    for path in glob.glob(os.path.join(folder, f"{prefix}[0-9]*{suffix}"), recursive=True):
        name = os.path.basename(path)
        fitting = (
            {span for span in kind.findall(name) if fnmatch.fnmatchcase(name, f"{prefix}{span}{suffix}")}
            for kind in _SPANS
        )
        spans = next(filter(None, fitting), set())
        if len(spans) > 1:
            raise UserError(
                f"`files` must have `{SPAN}` where a name has one number or date. Received: {pattern!r}, with "
                f"{' or '.join(sorted(spans))} in {printable_path(path)}"
            )
        for span in spans:
            literal = path + slash + below
            yield literal if os.path.exists(literal) else glob.escape(path) + slash + below, span


def _matches(
    key: str, patterns: Sequence[str], suffixes: tuple[str, ...], newest: Mapping[_SortKey, str] | None
) -> list[str]:
    """Returns the files that the patterns of a key match; of those with a span, the files of the newest spans."""
    found = set()
    for pattern in patterns:
        paths = [
            path
            for concrete, span in _with_spans(pattern)
            if newest is None or span is None or _sort_key(span) in newest
            for path in matches(concrete)
        ]
        if not paths and newest and SPAN in pattern:
            oldest = next(iter(newest.values()))
            raise UserError(
                f"`{key}` must match a file of the newest spans of the training files, from {oldest} on (`spans`). "
                f"Received: {key}={pattern!r}, without a match in these spans"
            )
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
