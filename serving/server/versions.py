"""One version of a model: loaded, used and freed."""

import contextlib
import enum
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grpc import StatusCode

from ikelos.serving.capi import ExportError
from ikelos.serving.card import read_card
from ikelos.serving.examples import read_examples
from ikelos.serving.protocol import rest
from ikelos.serving.server.errors import code_of
from ikelos.serving.server.warming import warm_up_requests
from ikelos.serving.stock import StockModel, complaint

LONGEST_EXAMPLE = 2**20
"""Most characters of an example that the server shows. The state of a model can be much longer."""


class State(enum.IntEnum):
    """States of a version, with the numbers of TensorFlow Serving's ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class Version:
    """Version of a model.

    Args:
        name: The model's name.
        number: The version's number.
        path: Folder of the SavedModel.
        library: Path of Ikelos's native library, if the model may need it.

    Attributes:
        state: What is done with the version.
        code: Code of the error that ended the version; `OK` if there is none.
        message: The error in words.
        model: The loaded model, or None.
        examples: As `read_examples`; empty if another program exported the version.
        shown_examples: For each signature, the inputs of its example as the JSON data of a request and the number of
            its characters, without those that are longer than `LONGEST_EXAMPLE` or not finite.
        card: As `read_card`; None if another program exported the version.
        files: What `fingerprint` returned before the version was loaded.
        seconds: Time that loading and warm-up have taken.
        is_warm: Whether the warm-up requests have run. A signature without one is slow in its first run.
    """

    def __init__(self, name: str, number: int, path: Path, library: Path | None = None):
        self.name, self.number, self.path, self._library = name, number, path, library
        self.state, self.code, self.message = State.START, StatusCode.OK, ""
        self.model: StockModel | None = None
        self.examples: dict[str, dict] = {}
        self.shown_examples: dict[str, tuple[dict[str, Any], int]] = {}
        self.card: dict[str, Any] | None = None
        self.files: tuple = ()
        self.seconds, self.is_warm = 0.0, False
        self._leases = 0

    def load(self) -> None:
        """Loads the model. An error does not propagate: it is kept in `code` and `message`."""
        with self._kept_errors():
            self.files = self.fingerprint()
            model = StockModel(self.path, self._library)
            try:
                self.examples, self.card = _read_extra(self.path)
                # Here, in a thread: each request for the description or the page would convert megabytes again.
                self.shown_examples = _shown_examples(self.examples)
            except BaseException:
                model.close()
                raise
            self.model = model

    def warm_up(self, model: StockModel) -> None:
        """Runs the warm-up requests, until the version is to be unloaded. An error is kept as in `load`.

        Args:
            model: What `lease` yields.
        """
        with self._kept_errors():
            for signature, inputs in warm_up_requests(self.path, self.examples):
                if self.state is State.UNLOADING:
                    return
                model.run(signature, inputs)
            self.is_warm = True

    @contextlib.contextmanager
    def _kept_errors(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except Exception as error:  # whatever is wrong with one version, the others must go on
            what = complaint(str(error)) or type(error).__name__
            self.code = code_of(error)
            self.message = what if isinstance(error, ExportError) else f"{self.path}: {what}"  # which names the file
        finally:
            self.seconds += time.monotonic() - began

    def fingerprint(self) -> tuple:
        """Returns a value that changes when a file of the version does."""
        found = []
        for file in sorted(self.path.rglob("*")):
            with contextlib.suppress(OSError):  # removed meanwhile, or a link to itself
                status = file.stat()
                found.append((str(file), status.st_size, status.st_mtime_ns))
        return tuple(found)

    @contextlib.contextmanager
    def lease(self) -> Iterator[StockModel]:
        """Context manager that yields the model of an available version, which is not freed before the end."""
        if self.model is None:
            raise RuntimeError(f"version {self.number} of {self.name} must be available. Received: {self.state.name}")
        self._leases += 1
        try:
            yield self.model
        finally:
            self._leases -= 1

    @property
    def signatures(self) -> dict[str, dict[str, dict[str, tuple]]]:
        """The signatures of the loaded model, as `StockModel.signatures`."""
        return self.model.signatures if self.model else {}

    @property
    def in_use(self) -> bool:
        """Whether a lease has not ended."""
        return self._leases > 0

    def free(self) -> None:
        """Frees the memory of the model, which must not be in use."""
        if self.model is not None:
            self.model.close()
            self.model, self.examples, self.shown_examples, self.card = None, {}, {}, None


def _read_extra(path: Path) -> tuple[dict[str, dict], dict[str, Any] | None]:
    try:
        examples = read_examples(path)
    except FileNotFoundError:  # another program exported the version
        examples = {}
    return examples, read_card(path)


def _shown_examples(examples: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[dict[str, Any], int]]:
    shown = {}
    for signature, example in examples.items():
        inputs = {name: rest.to_request(value) for name, value in example["inputs"].items()}
        try:
            length = len(json.dumps(inputs, allow_nan=False))
        except ValueError:  # JSON has no numbers that are not finite
            continue
        if length <= LONGEST_EXAMPLE:
            shown[signature] = inputs, length
    return shown
