"""Changes of the labels `stable` and `canary` of a model in a rendered folder.

TensorFlow Serving moves a label only to a version that it has loaded, and refuses the whole of a `models.config` that
moves one elsewhere, at every look, so that it would not load the version either. A change therefore asks the running
server: it first adds the version, waits until it is available, and then moves the label. Both labels always exist, and
lead to the same version while there is no canary, so that a proxy may be told of a change later than the server.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from ikelos.serving import files
from ikelos.serving.card import read_card
from ikelos.serving.check import stock_check
from ikelos.serving.deploy import model_config, proxy
from ikelos.serving.deploy.model_config import Release
from ikelos.serving.deploy.running import RunningServer
from ikelos.serving.deploy.served import Served
from ikelos.serving.deploy.target import Target
from ikelos.serving.graph import NATIVE, PORTABLE, native_library
from ikelos.serving.incoming import versions

STABLE, CANARY = "stable", "canary"
FILE = "releases.json"
CONFIG = f"config/{model_config.FILE}"
_PAUSE = 0.5


def initial_text(target: Target, models: Iterable[Served]) -> str:
    """Returns the text of `releases.json` in a folder that is rendered, without any release."""
    records = {model.name: {"base_path": os.fspath(model.base_path), "share": 0, "history": []} for model in models}
    content = {"platform": target.platform, "has_native_ops": target.has_native_ops, "models": records}
    return json.dumps(content, indent=1) + "\n"


class ReleaseError(Exception):
    """Raised if a release cannot be changed as asked. The message says what to do."""


def check_version(version: pathlib.Path) -> None:
    """Runs the stock check of a version; one of the flavour `native` gets Ikelos's native ops.

    Raises:
        CheckFailed: If the version does not pass.
        StockError: If its card is damaged, or the native library is not there.
    """
    stock_check(version, library=native_library() if _flavour(version) == NATIVE else None)


def _flavour(version: pathlib.Path) -> str:
    card = read_card(version)
    return PORTABLE if card is None else card["flavour"]


class Releases:
    """The releases of the models in a rendered folder, under a lock; a context manager.

    Args:
        folder: Folder that `render` wrote.
        server: The server that reads the folder; None if it is not running, or if new servers take its place, as in
            Kubernetes.
        patience: Seconds to wait for the server to load a version, and to take over a change.
        check: Function that raises an error if a server cannot run the version in a folder.

    Raises:
        ReleaseError: If the folder holds no deployment or a damaged one, or another process is changing it.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        server: RunningServer | None,
        patience: float,
        check: Callable[[pathlib.Path], Any] = check_version,
    ):
        self._folder = pathlib.Path(folder)
        self._server, self._patience, self._check = server, patience, check
        self._lock = contextlib.ExitStack()
        self._records: dict[str, Any] = {}

    def __enter__(self):
        file = self._folder / FILE
        if not file.is_file():
            raise ReleaseError(f"`folder` must be one that was rendered, with a {FILE}. Received: {self._folder}")
        self._lock.enter_context(_locked(self._folder))
        try:
            self._records = json.loads(file.read_text(encoding="utf-8"))
            dict(self._records["models"])  # an error unless it is an object
        except (ValueError, KeyError, TypeError) as error:
            self._lock.close()
            raise ReleaseError(f"{file} must be as `render` wrote it. Received: {error!r}") from None
        return self

    def __exit__(self, *error):
        self._lock.close()

    def canary(self, model: str, version: int, share: int) -> Release:
        """Gives the label `canary` to a version, and a share of the requests that name no version to the label.

        Args:
            model: Name of the model.
            version: The version, which passes the stock check.
            share: Percent of the requests, from 0 to 99.

        Returns:
            The new release.

        Raises:
            ReleaseError: If the model has no stable version or `version` is that, the version of a label is not there,
                or the server does not take over the change.
            ValueError: If the model is unknown, `models.config` cannot be read, or `share` is out of its range.
            CheckFailed: If the version does not pass the stock check.
            StockError: As in `check_version`.
            ConnectionError: If the server does not answer.
        """
        if not 0 <= share < 100:
            raise ValueError(f"`share` must be from 0 to 99. Received: share={share}")
        before = self._read(model)
        stable = before.labels.get(STABLE)
        if stable is None:
            raise ReleaseError(f"{model} must have a stable version before a canary: promote one first")
        if version == stable:
            raise ReleaseError(f"`version` must be another than the stable one. Received: version={version}")
        labels = {**before.labels, CANARY: version}
        after = Release(_loaded(labels), labels)
        self._change(model, before, after, share)
        return after

    def promote(self, model: str, version: int) -> Release:
        """Gives both labels to a version; the stable version so far stays loaded, for a rollback.

        Args:
            model: Name of the model.
            version: The version, which passes the stock check.

        Returns:
            The new release.

        Raises:
            ReleaseError: If `version` is stable already or is not there, or the server does not take over the change.
            ValueError: If the model is unknown, or `models.config` cannot be read.
            CheckFailed: If the version does not pass the stock check.
            StockError: As in `check_version`.
            ConnectionError: If the server does not answer.
        """
        before = self._read(model)
        stable = before.labels.get(STABLE)
        if version == stable and before.labels.get(CANARY) == version:
            raise ReleaseError(f"`version` must be another than the stable one. Received: version={version}")
        labels = {**before.labels, STABLE: version, CANARY: version}
        after = Release(_loaded(labels, *([] if stable is None else [stable])), labels)
        self._change(model, before, after, 0)
        return after

    def rollback(self, model: str) -> Release:
        """Returns to the labels, versions and share that stood before the labels last changed.

        Args:
            model: Name of the model.

        Returns:
            The release that stands again.

        Raises:
            ReleaseError: If nothing stood before, the version of a label was deleted, or the server does not take over
                the change.
            ValueError: If the model is unknown, or `models.config` cannot be read.
            CheckFailed: If a version does not pass the stock check.
            StockError: As in `check_version`.
            ConnectionError: If the server does not answer.
        """
        now = self._read(model)
        record = self._records["models"][model]
        there = versions(pathlib.Path(record["base_path"]))
        history = list(record["history"])
        while history:
            last = history.pop()
            labels = last["labels"]
            # Those that were only kept for a rollback may have been deleted.
            then = Release(_loaded(labels, *(version for version in last["versions"] if version in there)), labels)
            # A process that was killed may have recorded a state without changing it.
            if (then, last["share"]) != (now, record["share"]):
                self._prepare(model, now, then)
                self._move(model, now, then)
                record["history"] = history
                self._write_share(model, last["share"])
                return then
        raise ReleaseError(f"{model} must have an earlier release to return to. Received: no change since the first")

    def _read(self, model: str) -> Release:
        release = model_config.read(self._config.read_text(encoding="utf-8"), model)
        if model not in self._records["models"]:
            raise ReleaseError(f"{FILE} must have every model of {CONFIG}. Received: no {model}")
        return release

    @property
    def _config(self) -> pathlib.Path:
        return self._folder / CONFIG

    def _change(self, model: str, before: Release, after: Release, share: int) -> None:
        record = self._records["models"][model]
        if (before, record["share"]) == (after, share):
            raise ReleaseError(f"the release of {model} must change. Received: {dict(after.labels)}, share {share}")
        self._prepare(model, before, after)
        history = list(record["history"])
        # Another share alone is no step back: a rollback ends the canary.
        if before.labels and before != after:
            state = {
                "versions": _loaded(before.labels, *before.versions),
                "labels": dict(before.labels),
                "share": record["share"],
            }
            record["history"].append(state)
            self._write_records()  # first, so that the change can be taken back
        try:
            self._move(model, before, after)
        except BaseException:
            record["history"] = history
            self._write_records()
            raise
        self._write_share(model, share)

    def _prepare(self, model: str, before: Release, after: Release) -> None:
        """Checks that a release can be changed, without changing it."""
        base = pathlib.Path(self._records["models"][model]["base_path"])
        there = versions(base)
        for label, version in sorted(after.labels.items()):
            if version not in there:  # though the server may still have it
                found = ", ".join(map(str, sorted(there))) or "no version"
                raise ReleaseError(f"{base} must have version {version}, for the label {label}. Received: {found}")
        for version in sorted(set(after.versions) - set(before.versions)):
            path = there[version]
            if _flavour(path) == NATIVE and not self._records["has_native_ops"]:
                raise ReleaseError(
                    f"{path} must have the flavour {PORTABLE}, because the rendered image is a stock one: export it "
                    f"again, or render with the image of a server that links the native ops. Received: {NATIVE}"
                )
            self._check(path)
        if self._server is not None:
            self._await(model, before, ())

    def _move(self, model: str, before: Release, after: Release) -> None:
        if self._server is None:
            self._write_config(model, after)
            return
        text = self._config.read_text(encoding="utf-8")
        try:
            moved = {version for label, version in after.labels.items() if before.labels.get(label, version) != version}
            if absent := moved - set(before.versions):
                self._write_config(model, Release(_loaded(before.labels, *before.versions, *absent), before.labels))
                self._await(model, before, absent)
            # With the versions so far: if they were unloaded, the server would refuse to have its labels moved back.
            both = Release(_loaded(after.labels, *before.versions, *after.versions), after.labels)
            self._write_config(model, both)
            self._await(model, after, after.labels.values())
        except BaseException as error:
            files.write(self._config, text)
            if isinstance(error, ReleaseError):
                raise ReleaseError(f"{error}. {CONFIG} is as it was") from None
            raise
        self._write_config(model, after)

    def _write_config(self, model: str, release: Release) -> None:
        files.write(self._config, model_config.changed(self._config.read_text(encoding="utf-8"), model, release))

    def _write_share(self, model: str, share: int) -> None:
        self._records["models"][model]["share"] = share
        self._write_records()
        shares = {name: record["share"] for name, record in self._records["models"].items()}
        labelled = {name: share for name, share in shares.items() if self._read(name).labels}
        files.write(self._folder / proxy.LABELS, proxy.labels(labelled))

    def _write_records(self) -> None:
        files.write(self._folder / FILE, json.dumps(self._records, indent=1) + "\n")

    def _await(self, model: str, release: Release, versions: Collection[int]) -> None:
        """Waits until the server has the labels of a release, and some versions available."""
        assert self._server is not None
        labels = {label: release.labels.get(label) for label in (STABLE, CANARY)}
        end = time.monotonic() + self._patience
        while missing := self._server.missing(model, labels, versions):
            if time.monotonic() >= end:
                raise ReleaseError(
                    f"the server at {self._server.address} must take over {CONFIG} within {self._patience:g} s; "
                    f"its log says more. Received: {', '.join(missing)}"
                )
            time.sleep(_PAUSE)


def _loaded(labels: Mapping[str, int], *others: int) -> tuple[int, ...]:
    """Returns the versions that labels need, and others, in increasing order."""
    return tuple(sorted({*labels.values(), *others}))


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ReleaseError(f"another process is changing {folder}: try again when it has ended") from None
    try:
        yield
    finally:
        os.close(descriptor)
