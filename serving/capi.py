"""TensorFlow's C API through ctypes, without the Python package.

https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/c/c_api.h
"""

import ctypes
import functools
import importlib.util
import json
import os
import pathlib

import numpy as np

from ikelos.serving.silence import silenced
from ikelos.serving.values import DTYPE_NAMES, DTYPES

_POINTER, _TEXT, _INT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
_STRING_BYTES = 24  # sizeof(TF_TString) on 64-bit machines, part of TensorFlow's ABI
_Release = ctypes.CFUNCTYPE(None, _POINTER, _SIZE, _POINTER)


class StockError(RuntimeError):
    """Raised if TensorFlow cannot load or run a model, mostly with TensorFlow's message.

    Attributes:
        code: Number of the error's kind in TensorFlow and gRPC, such as 3 for an invalid argument; 2 if it is unknown.
    """

    def __init__(self, message: str, code: int = 2):
        super().__init__(message)
        self.code = code


class ExportError(StockError):
    """Raised if the files of an exported version are at fault; the message names the file and says what to do."""


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes and their length."""

    _fields_ = [("data", _POINTER), ("length", _SIZE), ("deallocator", _POINTER)]


class Output(ctypes.Structure):
    """TF_Output: one output of one node of the graph."""

    _fields_ = [("operation", _POINTER), ("index", _INT)]


_OUTPUTS, _TENSORS = ctypes.POINTER(Output), ctypes.POINTER(_POINTER)
_DIMS = ctypes.POINTER(ctypes.c_int64)
_PROTOTYPES = {  # name: (return type, argument types)
    "TF_Version": (_TEXT, []),
    "TF_NewStatus": (_POINTER, []),
    "TF_DeleteStatus": (None, [_POINTER]),
    "TF_GetCode": (_INT, [_POINTER]),
    "TF_Message": (_TEXT, [_POINTER]),
    "TF_LoadLibrary": (_POINTER, [_TEXT, _POINTER]),
    "TF_DeleteLibraryHandle": (None, [_POINTER]),
    "TF_NewGraph": (_POINTER, []),
    "TF_DeleteGraph": (None, [_POINTER]),
    "TF_GraphOperationByName": (_POINTER, [_POINTER, _TEXT]),
    "TF_NewBuffer": (ctypes.POINTER(Buffer), []),
    "TF_DeleteBuffer": (None, [ctypes.POINTER(Buffer)]),
    "TF_NewSessionOptions": (_POINTER, []),
    "TF_DeleteSessionOptions": (None, [_POINTER]),
    "TF_SetConfig": (None, [_POINTER, _TEXT, _SIZE, _POINTER]),
    "TF_LoadSessionFromSavedModel": (
        _POINTER,
        [_POINTER, _POINTER, _TEXT, ctypes.POINTER(_TEXT), _INT, _POINTER, ctypes.POINTER(Buffer), _POINTER],
    ),
    "TF_SessionRun": (
        None,
        [_POINTER, _POINTER]  # session, run options
        + [_OUTPUTS, _TENSORS, _INT] * 2  # inputs, outputs
        + [_POINTER, _INT, _POINTER, _POINTER],  # targets and their number, metadata, status
    ),
    "TF_CloseSession": (None, [_POINTER, _POINTER]),
    "TF_DeleteSession": (None, [_POINTER, _POINTER]),
    "TF_AllocateTensor": (_POINTER, [_INT, _DIMS, _INT, _SIZE]),
    "TF_NewTensor": (_POINTER, [_INT, _DIMS, _INT, _POINTER, _SIZE, _Release, _POINTER]),
    "TF_DeleteTensor": (None, [_POINTER]),
    "TF_TensorType": (_INT, [_POINTER]),
    "TF_NumDims": (_INT, [_POINTER]),
    "TF_Dim": (ctypes.c_int64, [_POINTER, _INT]),
    "TF_TensorData": (_POINTER, [_POINTER]),
    "TF_TensorByteSize": (_SIZE, [_POINTER]),
    "TF_StringInit": (None, [_POINTER]),
    "TF_StringCopy": (None, [_POINTER, _TEXT, _SIZE]),
    "TF_StringDealloc": (None, [_POINTER]),
    "TF_StringGetDataPointer": (_POINTER, [_POINTER]),
    "TF_StringGetSize": (_SIZE, [_POINTER]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """Returns the C API of the installed TensorFlow, with TF Text's ops registered if tensorflow-text is installed.

    TensorFlow Serving has the same ops, unless this process has loaded other op libraries.

    Raises:
        StockError: If TensorFlow is not installed, or a library does not load.
    """
    # TensorFlow reads the level once, before its first message. At level 2 it logs only errors.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    folder = _package_folder("tensorflow")
    if folder is None:
        raise StockError("The package tensorflow is not installed")
    try:
        with silenced():  # TensorFlow logs three lines while it loads, at any level
            ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"))
            api = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))
    except OSError as error:
        raise StockError(f"TensorFlow's C library does not load: {error}") from error
    for name, (returns, takes) in _PROTOTYPES.items():
        function = getattr(api, name)
        function.restype, function.argtypes = returns, takes
    text = _package_folder("tensorflow_text")
    for path in sorted((text / "python" / "ops").glob("*.so")) if text else []:
        _register(api, path)
    return api


@functools.cache
def load_ops(path: pathlib.Path) -> None:
    """Registers the ops of Ikelos's native library in this process.

    Args:
        path: The library, beside which its JSON file names the TensorFlow that it was built for.

    Raises:
        StockError: If there is no such library, it was built for another TensorFlow, or it does not load.
    """
    api, record = library(), path.with_suffix(".json")
    if not path.is_file():
        raise StockError(f"`library` must be the path of a library. Received: library={path}")
    try:
        built = json.loads(record.read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StockError(f"`library` must have a record of its TensorFlow in {record}. Received: {error}") from error
    # Compared before the library is opened, because opening a library for another TensorFlow may crash the process.
    running = api.TF_Version().decode()
    if built != running:
        raise StockError(f"`library` must be built for TensorFlow {running}. Received: {path}, built for {built}")
    _register(api, path)


def _register(api: ctypes.CDLL, path: pathlib.Path) -> None:
    with Status(api) as status:
        # Deleting the handle keeps the ops, because TensorFlow never unloads a library.
        api.TF_DeleteLibraryHandle(api.TF_LoadLibrary(os.fsencode(path), status.pointer))


class Status:
    """Context manager of a TF_Status, which raises StockError at the end if a call set an error."""

    def __init__(self, api: ctypes.CDLL):
        self._api = api
        self.pointer = api.TF_NewStatus()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        code, message = self._api.TF_GetCode(self.pointer), self._api.TF_Message(self.pointer)
        self._api.TF_DeleteStatus(self.pointer)
        if code != 0 and error is None:
            raise StockError(message.decode(errors="replace"), code)


def to_tensor(api: ctypes.CDLL, array: np.ndarray, dtype: str) -> int:
    """Returns a new TF_Tensor with a copy of the array; strings are given as bytes. The caller must delete the
    tensor."""
    number = DTYPES[dtype][0]
    sizes = (ctypes.c_int64 * array.ndim)(*array.shape)
    if dtype == "string":
        return _string_tensor(api, array, number, sizes)
    tensor = api.TF_AllocateTensor(number, sizes, array.ndim, array.nbytes)
    ctypes.memmove(api.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
    return tensor


def from_tensor(api: ctypes.CDLL, tensor: int, name: str) -> np.ndarray:
    """Returns a copy of the tensor; strings become an object array of bytes. The caller still owns the tensor.

    Raises:
        StockError: If the tensor, an output called `name`, has a dtype that is not in `DTYPES`.
    """
    number = api.TF_TensorType(tensor)
    if number not in DTYPE_NAMES:
        raise StockError(
            f"Output {name!r} must have one of the dtypes {', '.join(DTYPES)}. Received: DataType {number}"
        )
    shape = [api.TF_Dim(tensor, axis) for axis in range(api.TF_NumDims(tensor))]
    array = np.empty(shape, DTYPES[DTYPE_NAMES[number]][1])
    data = api.TF_TensorData(tensor)
    if DTYPE_NAMES[number] == "string":
        for index in range(array.size):
            string = data + _STRING_BYTES * index
            array.flat[index] = ctypes.string_at(api.TF_StringGetDataPointer(string), api.TF_StringGetSize(string))
    else:
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
    return array


# Memory of string tensors that TensorFlow still uses, by address. TF_DeleteTensor would free the array of strings but
# not their contents, so Python owns the memory and `_release` frees both.
_in_use: dict[int, ctypes.Array] = {}


@_Release
def _release(data, length, _):
    for address in range(data, data + length, _STRING_BYTES):
        library().TF_StringDealloc(address)
    del _in_use[data]


def _string_tensor(api: ctypes.CDLL, array: np.ndarray, number: int, sizes: ctypes.Array) -> int:
    length = _STRING_BYTES * array.size
    memory = ctypes.create_string_buffer(max(length, 1))
    start = ctypes.addressof(memory)
    for index, text in enumerate(array.flat):
        api.TF_StringInit(start + _STRING_BYTES * index)
        api.TF_StringCopy(start + _STRING_BYTES * index, text, len(text))
    _in_use[start] = memory
    return api.TF_NewTensor(number, sizes, array.ndim, start, length, _release, None)


def _package_folder(name: str) -> pathlib.Path | None:
    # find_spec of a top-level package does not run its code.
    spec = importlib.util.find_spec(name)
    return pathlib.Path(spec.origin).parent if spec and spec.origin else None
