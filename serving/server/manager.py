"""The served models: finds new versions, loads and switches to them, and frees the old ones."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from grpc import StatusCode

from ikelos.serving.incoming import versions
from ikelos.serving.server.discovery import find_models
from ikelos.serving.server.errors import RequestError
from ikelos.serving.server.versions import State, Version

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 0.02
"""Between two looks whether the last request of an old version is done."""


class Manager:
    """The models in a folder, with the newest version of each, and those that have a label.

    A new version is loaded and warmed up while the old one serves. The old one is freed when the new one is available
    and the last request of the old one is done. A version that does not load leaves the old one as it is, and is tried
    again when its files change. If no other version serves, a version serves as soon as it is loaded, and warms up
    meanwhile. All methods must be called in the thread of the event loop.

    Args:
        path: As in `find_models`.
        labels: Number of the version by model and label.
        library: Path of Ikelos's native library, which models of the flavour `native` need, or None.

    Attributes:
        models: The versions by model and number, with those that have ended.
    """

    def __init__(self, path: Path, labels: Mapping[str, Mapping[str, int]], library: Path | None = None):
        self._path, self._labels, self._library = path, labels, library
        self.models: dict[str, dict[int, Version]] = {}
        self._tasks: set[asyncio.Task] = set()
        # One at a time, or those of many models would leave no thread for loading and for the inputs of requests.
        self._warming = asyncio.Lock()

    async def watch(self, seconds: float) -> None:
        """Calls `poll` every so many seconds, forever. An error is logged, and what is loaded goes on serving."""
        last = None
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.poll()
            except Exception as error:  # such as two models of one name, or a folder that cannot be read
                if str(error) != last:
                    _log.error("Cannot look for new versions in %s: %s", self._path, error)
                last = str(error)
            else:
                last = None

    async def poll(self) -> None:
        """Looks for versions once, loads the new ones and starts to free the old ones.

        Raises:
            ValueError: As in `find_models`.
            OSError: If a folder cannot be read.
        """
        wanted = await asyncio.to_thread(self._wanted)
        for name in [name for name in self.models if name not in wanted]:
            for version in self.models[name].values():
                self._end(version)
        for name, paths in wanted.items():
            known = self.models.setdefault(name, {})
            for number, path in sorted(paths.items()):
                if number not in known or await self._is_worth_another_try(known[number]):
                    known[number] = Version(name, number, path, self._library)
                    await self._load(known[number])
            available = {number for number, version in known.items() if version.state is State.AVAILABLE}
            # If the newest version fails, the one before it goes on serving.
            keep = available & set(paths)
            if keep and max(keep) == max(paths):
                for number in available - keep:
                    self._end(known[number])

    def find(self, name: str, number: int | None = None, label: str | None = None) -> Version:
        """Returns an available version: the one of a number or label, or the newest.

        Raises:
            RequestError: As TensorFlow Serving answers, if there is none.
        """
        if not name:
            raise RequestError(StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        if label:
            number = self._number_of_label(name, label)
        available = {n: v for n, v in self.models.get(name, {}).items() if v.state is State.AVAILABLE}
        if available and number is None:
            return available[max(available)]
        if number in available:
            return available[number]
        request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise RequestError(StatusCode.NOT_FOUND, f"Servable not found for request: {request}")

    def _number_of_label(self, name: str, label: str) -> int:
        """Returns the number of the version with a label.

        Raises:
            RequestError: As TensorFlow Serving answers, if there is no such label.
        """
        try:
            return self._labels[name][label]
        except KeyError:
            raise RequestError(StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}") from None

    def labels_of(self, name: str, number: int) -> list[str]:
        """Returns the labels of a version."""
        return sorted(label for label, labelled in self._labels.get(name, {}).items() if labelled == number)

    def is_ready(self) -> bool:
        """Returns whether every model has a version that serves."""
        served = [any(v.state is State.AVAILABLE for v in known.values()) for known in self.models.values()]
        return bool(served) and all(served)

    async def close(self) -> None:
        """Frees all versions, each after its last request."""
        for known in self.models.values():
            for version in known.values():
                self._end(version)
        await asyncio.gather(*self._tasks)

    def _wanted(self) -> dict[str, dict[int, Path]]:
        """Returns the folders of the versions to serve by model and number."""
        wanted = {}
        for name, base in find_models(self._path).items():
            found = versions(base)
            if not found:
                continue  # removed meanwhile
            numbers = {max(found), *self._labels.get(name, {}).values()}
            wanted[name] = {number: path for number, path in found.items() if number in numbers}
        return wanted

    async def _is_worth_another_try(self, version: Version) -> bool:
        if version.state is not State.END:
            return False
        # One that has ended without an error was removed, and is back, or is labelled or the newest again.
        return version.code is StatusCode.OK or await asyncio.to_thread(version.fingerprint) != version.files

    async def _load(self, version: Version) -> None:
        version.state = State.LOADING
        await asyncio.to_thread(version.load)
        known = self.models[version.name].values()
        is_first = not any(other.state is State.AVAILABLE for other in known)
        if version.model is not None and not is_first:
            with version.lease() as model:
                await asyncio.to_thread(version.warm_up, model)
        if version.code is not StatusCode.OK:
            self._report(version)
            await asyncio.to_thread(version.free)
            version.state = State.END
            return
        version.state = State.AVAILABLE
        note = "" if version.is_warm else " and warms up: its first answers are slow"
        _log.info("%s: version %d is loaded (%.1f s)%s", version.name, version.number, version.seconds, note)
        if is_first:  # a slow answer is better than none
            self._start(self._warm_up(version))

    async def _warm_up(self, version: Version) -> None:
        async with self._warming:
            if version.state is not State.AVAILABLE:
                return  # another version has replaced it
            with version.lease() as model:
                await asyncio.to_thread(version.warm_up, model)
        if version.is_warm:
            _log.info(
                "%s: version %d has warmed up (%.1f s with loading)", version.name, version.number, version.seconds
            )
        elif version.code is not StatusCode.OK:
            self._report(version)
            self._end(version)

    def _report(self, version: Version) -> None:
        _log.error("%s: version %d cannot be served: %s", version.name, version.number, version.message)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, version: Version) -> None:
        if version.state is State.AVAILABLE:
            version.state = State.UNLOADING
            self._start(self._free(version))

    async def _free(self, version: Version) -> None:
        while version.in_use:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        await asyncio.to_thread(version.free)
        version.state = State.END
        _log.info("%s: version %d is unloaded", version.name, version.number)
