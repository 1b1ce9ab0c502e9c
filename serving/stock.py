"""Runs a SavedModel as a stock server does, in TensorFlow's C library without its Python package."""

import contextlib
import ctypes
import os
import pathlib
import tempfile
import weakref
from collections.abc import Iterator

import numpy as np

from ikelos.serving.capi import ExportError, Output, Status, StockError, from_tensor, load_ops, to_tensor
from ikelos.serving.capi import library as c_api
from ikelos.serving.card import read_card
from ikelos.serving.damage import check_files
from ikelos.serving.values import DTYPE_NAMES, DTYPES, to_array
from ikelos.serving.wire import VARINT, Message, signed, write_bytes

__all__ = ["StockError", "StockModel"]

# Field numbers of tensorflow/core/protobuf/meta_graph.proto and framework/tensor_shape.proto.
_META_SIGNATURES = 5
_SIGNATURE_SIDES = {"inputs": 1, "outputs": 2}
_TENSOR_NAME, _TENSOR_DTYPE, _TENSOR_SHAPE = 1, 2, 3
_SHAPE_DIM, _SHAPE_UNKNOWN_RANK = 2, 3
_DIM_SIZE = 1
# A ConfigProto with device_count {"GPU": 0}, because another process on the machine may hold the GPU's memory.
_CPU_ONLY = write_bytes(1, write_bytes(1, "GPU") + bytes([2 << 3 | VARINT, 0]))


class StockModel:
    """SavedModel, loaded on the CPU by the function that TensorFlow Serving uses.

    The available ops are those of TensorFlow, of TF Text if it is installed, and of any op library that this process
    has loaded. So only loading in a fresh process (see `stock_check`) proves that a stock server can load the model.

    Args:
        path: Folder of the SavedModel.
        library: Path of Ikelos's native library, whose ops a model of the flavour `native` needs. They are then
            registered in this process.

    Attributes:
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
        elif (read_card(path) or {}).get("flavour") == "native":
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
        self._tensors = _read_signatures(meta_graph)
        self.signatures = {
            name: {
                side: {key: (dtype, shape) for key, (_, dtype, shape) in tensors.items()}
                for side, tensors in sides.items()
            }
            for name, sides in self._tensors.items()
        }

    def run(self, signature: str, inputs: dict[str, object]) -> dict[str, np.ndarray]:
        """Runs one signature on one batch.

        Args:
            signature: A key of `signatures`.
            inputs: A value for every input: an array of the input's dtype, or nested lists with text as str or bytes.

        Returns:
            The outputs by name; strings are object arrays of bytes.

        Raises:
            ValueError: If the signature is unknown, or an input is unknown, missing or of another dtype or shape.
            StockError: If TensorFlow fails while it runs the model, an input or output has a dtype that is not
                supported, or the model has been closed.
        """
        if not self._finalizer.alive:
            raise StockError("The model has been closed")
        if signature not in self._tensors:
            raise ValueError(f"`signature` must be one of {sorted(self._tensors)}. Received: signature={signature!r}")
        sides = self._tensors[signature]
        if set(inputs) != set(sides["inputs"]):
            raise ValueError(
                f"Signature {signature!r} must get the inputs {sorted(sides['inputs'])}. Received: {sorted(inputs)}"
            )
        for name, (_, dtype, _) in sides["inputs"].items():
            if dtype not in DTYPES:
                raise StockError(
                    f"Signature {signature!r}: input {name!r} must have one of the dtypes {', '.join(DTYPES)}. "
                    f"Received: {dtype}"
                )
        arrays = {
            name: to_array(f"Signature {signature!r}: input {name!r}", inputs[name], dtype, shape)
            for name, (_, dtype, shape) in sides["inputs"].items()
        }
        return self._run(sides, arrays)

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

    def _run(self, sides: dict, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        api, names = self._api, list(sides["outputs"])
        feeds = [self._endpoint(sides["inputs"][name][0]) for name in arrays]
        fetches = [self._endpoint(sides["outputs"][name][0]) for name in names]
        feed_values = (ctypes.c_void_p * len(feeds))(
            *(to_tensor(api, array, sides["inputs"][name][1]) for name, array in arrays.items())
        )
        fetch_values = (ctypes.c_void_p * len(fetches))()
        try:
            with Status(api) as status:
                api.TF_SessionRun(
                    self._session,
                    None,
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


def _read_signatures(meta_graph: bytes) -> dict[str, dict[str, dict[str, tuple]]]:
    """Returns the signatures of a serialised MetaGraphDef: `{name: {side: {key: (tensor name, dtype, shape)}}}`."""
    signatures = {}
    for name, definition in Message(meta_graph).map(_META_SIGNATURES).items():
        if name.startswith("__saved_model"):  # TensorFlow's initialisation, without inputs and outputs
            continue
        signature = Message(definition)
        signatures[name] = {
            # Sorted by name, because their order in the file is arbitrary.
            side: {key: _read_tensor(info) for key, info in sorted(signature.map(number).items())}
            for side, number in _SIGNATURE_SIDES.items()
        }
    return signatures


def _read_tensor(info: bytes) -> tuple[str, str, tuple[int | None, ...] | None]:
    tensor = Message(info)
    number, shape = tensor.integer(_TENSOR_DTYPE), Message(tensor.payload(_TENSOR_SHAPE))
    sizes = None
    if not shape.integer(_SHAPE_UNKNOWN_RANK):
        dims = [signed(Message(dim).integer(_DIM_SIZE)) for dim in shape.payloads(_SHAPE_DIM)]
        sizes = tuple(None if size < 0 else size for size in dims)
    name = tensor.payload(_TENSOR_NAME).decode()
    return name, DTYPE_NAMES.get(number, f"DataType {number}"), sizes
