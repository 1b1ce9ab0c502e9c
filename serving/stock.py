"""Runs a SavedModel as a stock server does, in TensorFlow's C library without its Python package."""

import contextlib
import ctypes
import os
import pathlib
import re
import tempfile
import weakref
from collections.abc import Iterator, Mapping

import numpy as np

from ikelos.serving.capi import Buffer, ExportError, Output, Status, StockError, from_tensor, load_ops, to_tensor
from ikelos.serving.capi import library as c_api
from ikelos.serving.card import read_card
from ikelos.serving.damage import check_files
from ikelos.serving.graph import NATIVE
from ikelos.serving.protocol.messages import ConfigProto, MetaGraphDef, RunOptions
from ikelos.serving.protocol.metadata import read_signatures
from ikelos.serving.values import UnsupportedDtypeError, input_arrays

__all__ = ["StockError", "StockModel", "complaint"]

# Because another process on the machine may hold the GPU's memory.
_CPU_ONLY = ConfigProto(device_count={"GPU": 0}).SerializeToString()
_UNIMPLEMENTED = 12  # the code


class StockModel:
    """SavedModel, loaded on the CPU by the function that TensorFlow Serving uses.

    The available ops are those of TensorFlow, of TF Text if it is installed, and of any op library that this process
    has loaded. So only loading in a fresh process (see `stock_check`) proves that a stock server can load the model.

    Args:
        path: Folder of the SavedModel.
        library: Path of Ikelos's native library, whose ops a model of the flavour `native` needs. They are then
            registered in this process.

    Attributes:
        definitions: The SignatureDef messages by name, with TensorFlow's own signature of the initialisation.
        signatures: `{name: {"inputs": {name: (dtype, shape)}, "outputs": {name: (dtype, shape)}}}`, where dtype is
            TensorFlow's name. The shape is a tuple with None for any size, or None for any rank.

    Raises:
        ExportError: If there is no SavedModel at `path` or its files are damaged, or a model of the flavour `native`
            gets no library. It is a StockError.
        StockError: If TensorFlow is not installed or cannot load the model or the library.

    Example:
        >>> with StockModel("export/3") as model:
        ...     model.run("serving_default", {"text": ["Now is the winter"]})
    """

    def __init__(self, path: str | os.PathLike, library: str | os.PathLike | None = None):
        path = pathlib.Path(path)
        check_files(path)
        if library is not None:
            load_ops(pathlib.Path(library))
        elif (read_card(path) or {}).get("flavour") == NATIVE:
            raise ExportError(
                f"{path} has the flavour native, whose ops are in Ikelos's native library. Give its path as `library` "
                "(`ikelos doctor` prints it), or export the model with the flavour portable"
            )
        self._api = c_api()
        self._graph = self._api.TF_NewGraph()
        buffer = self._api.TF_NewBuffer()
        options = self._api.TF_NewSessionOptions()
        try:
            self._session = self._load(path, options, buffer)
            meta_graph = ctypes.string_at(buffer.contents.data, buffer.contents.length)
        except StockError:
            self._api.TF_DeleteGraph(self._graph)
            raise
        finally:
            self._api.TF_DeleteSessionOptions(options)
            self._api.TF_DeleteBuffer(buffer)
        self._finalizer = weakref.finalize(self, _release, self._api, self._session, self._graph)
        definition = MetaGraphDef.FromString(meta_graph)
        definition.DiscardUnknownFields()  # the graph, which may have hundreds of megabytes
        self.definitions = definition.signature_def
        self.signatures = read_signatures(self.definitions)

    def run(self, signature: str, inputs: Mapping[str, object], timeout: float | None = None) -> dict[str, np.ndarray]:
        """Runs one signature on one batch. Several threads may run the model at once.

        Args:
            signature: A key of `signatures`.
            inputs: A value for every input: an array of the input's dtype, or nested lists with text as str or bytes.
            timeout: Seconds after which TensorFlow cancels the run; None for no limit.

        Returns:
            The outputs by name; strings are object arrays of bytes.

        Raises:
            ValueError: As in `check`.
            StockError: As in `check`, if TensorFlow fails while it runs the model or `timeout` has passed (`code` 4),
                or an output has a dtype that is not supported.
        """
        return self._run(signature, self.check(signature, inputs), timeout)

    def check(self, signature: str, inputs: Mapping[str, object]) -> dict[str, np.ndarray]:
        """Checks the inputs of `run`, and returns them as arrays of the inputs' dtypes.

        Raises:
            ValueError: If the signature is unknown, or an input is unknown, missing or of another dtype or shape.
            StockError: If an input has a dtype that is not supported, or the model has been closed.
        """
        if not self._finalizer.alive:
            raise StockError("The model has been closed")
        if signature not in self.signatures:
            raise ValueError(f"`signature` must be one of {sorted(self.signatures)}. Received: signature={signature!r}")
        try:
            return input_arrays(signature, inputs, self.signatures[signature]["inputs"])
        except UnsupportedDtypeError as error:
            raise StockError(str(error), code=_UNIMPLEMENTED) from error

    def close(self) -> None:
        """Frees the memory of the model, which cannot run any more. A second call does nothing."""
        self._finalizer()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _load(self, path, options, buffer) -> int:
        tags = (ctypes.c_char_p * 1)(b"serve")
        with Status(self._api) as status:
            self._api.TF_SetConfig(options, _CPU_ONLY, len(_CPU_ONLY), status.pointer)
        with _without_patterns(path) as plain, Status(self._api) as status:
            return self._api.TF_LoadSessionFromSavedModel(
                options, None, os.fsencode(plain), tags, 1, self._graph, buffer, status.pointer
            )

    def _run(self, signature: str, arrays: dict[str, np.ndarray], timeout: float | None) -> dict[str, np.ndarray]:
        api, sides, definition = self._api, self.signatures[signature], self.definitions[signature]
        # TensorFlow takes 0 for no limit.
        milliseconds = 0 if timeout is None else max(1, round(1000 * timeout))
        options = RunOptions(timeout_in_ms=milliseconds).SerializeToString()
        run_options = Buffer(ctypes.cast(options, ctypes.c_void_p), len(options), None)
        names = list(sides["outputs"])
        feeds = [self._endpoint(definition.inputs[name].name) for name in arrays]
        fetches = [self._endpoint(definition.outputs[name].name) for name in names]
        feed_values = (ctypes.c_void_p * len(feeds))(
            *(to_tensor(api, array, sides["inputs"][name][0]) for name, array in arrays.items())
        )
        fetch_values = (ctypes.c_void_p * len(fetches))()
        try:
            with Status(api) as status:
                api.TF_SessionRun(
                    self._session,
                    ctypes.byref(run_options),
                    (Output * len(feeds))(*feeds),
                    feed_values,
                    len(feeds),
                    (Output * len(fetches))(*fetches),
                    fetch_values,
                    len(fetches),
                    None,
                    0,
                    None,
                    status.pointer,
                )
            return {name: from_tensor(api, tensor, name) for name, tensor in zip(names, fetch_values, strict=True)}
        finally:
            for tensor in (*feed_values, *fetch_values):
                if tensor:
                    api.TF_DeleteTensor(tensor)

    def _endpoint(self, tensor_name: str) -> Output:
        operation, _, index = tensor_name.partition(":")
        pointer = self._api.TF_GraphOperationByName(self._graph, operation.encode())
        if not pointer:
            raise StockError(f"The graph has no tensor {tensor_name!r}, though a signature names it")
        return Output(pointer, int(index or 0))


def complaint(message: str) -> str:
    """Returns the first part of TensorFlow's error about inputs, without the place in the graph.

    A failed assertion reads `assertion failed: [length must be at most 32] [40]`; the place follows it, in a line that
    begins with `[[{{node ...`.
    """
    line = message.partition("[[{{")[0].strip()
    found = re.fullmatch(r"assertion failed: \[(.*)\]", line, re.DOTALL)
    return " ".join((found[1].replace("] [", " ") if found else line).split())


@contextlib.contextmanager
def _without_patterns(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Context manager that yields `path`, or a link to it if TensorFlow would read `path` as a pattern, `[a]` as
    `a`."""
    if not set(str(path)) & set("*?[\\"):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = pathlib.Path(folder, "model")
        link.symlink_to(path.absolute())
        yield link


def _release(api, session, graph) -> None:
    with Status(api) as status:
        api.TF_CloseSession(session, status.pointer)
        api.TF_DeleteSession(session, status.pointer)
    api.TF_DeleteGraph(graph)
