"""Chooses, at trace time, between an op's native kernel and its plain TensorFlow reference.

The native kernels are in one shared library, built with the package (`IKELOS_BUILD_NATIVE=0` leaves it out) and loaded
the first time an op could use it. Custom ops are tied to the TensorFlow they were built for, so a library built for
another is never opened: one warning says so, and every op runs as its reference.

The environment variable `IKELOS_KERNELS` changes that for a process: `reference` never loads the library, `native`
makes it an error if it cannot be loaded.
"""

import contextlib
import contextvars
import ctypes
import dataclasses
import functools
import importlib.metadata
import inspect
import json
import os
import pathlib
import sys
import types
import warnings
from collections.abc import Callable, Iterator

import tensorflow as tf

LIBRARY_NAME = "libikelos.so"
IMPLEMENTATIONS = ("native", "reference")
# What the names of the modules begin with that trace a graph in order to save it.
EXPORTERS = ("keras.src.export.", "tensorflow.python.saved_model.save")


class LibraryError(RuntimeError):
    """The native kernels were asked for and their library cannot be loaded."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which implementation runs, `"native"` or `"reference"`, why, and whether it was asked for: by the op's
    argument, the scope `use`, `IKELOS_KERNELS` or an export."""

    implementation: str
    reason: str
    asked: bool = False

    def __str__(self) -> str:
        return f"{self.implementation}: {self.reason}"


def _rms_norm_obstacle(dtype: tf.DType, shape: tf.TensorShape) -> str | None:
    if dtype not in (tf.float32, tf.bfloat16):
        return f"the native kernel takes float32 and bfloat16, not {dtype.name}"
    if shape.rank == 0:
        return "the native kernel takes at least one axis, not a scalar"
    return None


def _type_obstacle(dtype: tf.DType, shape: tf.TensorShape) -> str | None:
    if dtype not in (tf.float32, tf.bfloat16, tf.float16):
        return f"the native kernel takes float32, bfloat16 and float16, not {dtype.name}"
    return None


def _attention_obstacle(dtype: tf.DType, shape: tf.TensorShape, value_size: int | None = None) -> str | None:
    obstacle = _type_obstacle(dtype, shape)
    if obstacle is not None:
        return obstacle
    size = shape[3] if shape.rank == 4 else None
    if size is not None and size > 256:
        return f"the native kernel takes a head size of at most 256, not {size}"
    if value_size is not None and not 1 <= value_size <= 256:
        return f"the native kernel takes a value size of 1 to 256, not {value_size}"
    return None


# For each op with a native kernel, what keeps it from running (None: nothing) for the dtype and shape of its main
# input, and for other sizes that matter to it, by name.
NATIVE_OPS: dict[str, Callable[..., str | None]] = {
    "attention": _attention_obstacle,
    "gru": _type_obstacle,
    "lstm": _type_obstacle,
    "rms_norm": _rms_norm_obstacle,
}

_scope: contextvars.ContextVar[str | None] = contextvars.ContextVar("ikelos_kernels", default=None)


@contextlib.contextmanager
def use(implementation: str) -> Iterator[None]:
    """Makes every op traced in this scope, by this thread, run as `"native"` or as `"reference"`.

    The choice is made when a graph is traced: a `tf.function` traced before keeps what it has. What is traced by
    `keras.Model.export`, `keras.export.ExportArchive` or `tf.saved_model.save` runs as `"reference"` without being
    told, so that the SavedModel has stock ops alone and loads wherever TensorFlow does. Trace a `tf.function` of your
    own that is to be saved under `use("reference")`, if it is called before it is saved.

    Under `use("native")` an op that has no native kernel for its inputs raises ValueError.

    Raises:
        ValueError: If `implementation` is neither.
    """
    _check_implementation(implementation)
    token = _scope.set(implementation)
    try:
        yield
    finally:
        _scope.reset(token)


def choose(
    op_name: str, implementation: str | None, *, dtype, shape=None, device: str | None = None, **sizes: int | None
) -> str:
    """The implementation of `op_name` to trace, `"native"` or `"reference"`; each op asks this once.

    `implementation` is what the caller of the op asked for; None leaves it to the scope `use`, and outside any to
    native wherever it can run. `dtype`, `shape` and `device` are those of the op's main input; `sizes` are others that
    the op's kernel asks for.

    Raises:
        ValueError: If native was asked for, by argument or scope, and there is no kernel for such an input.
        LibraryError: If native was asked for, by argument, scope or `IKELOS_KERNELS=native`, and the library cannot
            be loaded.
    """
    choice = explain(op_name, dtype, shape, device, implementation, **sizes)
    if choice.implementation != "native" and _asked(implementation) == "native":
        raise ValueError(f"implementation: {op_name} cannot run as 'native': {choice.reason}")
    return choice.implementation


def explain(
    op_name: str,
    dtype="float32",
    shape=None,
    device: str | None = None,
    implementation: str | None = None,
    **sizes: int | None,
) -> Choice:
    """Which implementation of `op_name` would run here and now, and why.

    Args:
        op_name: An op of `ikelos.kernels`, such as `"rms_norm"`.
        dtype: Of the op's main input.
        shape: Of the op's main input, as far as it is known.
        device: Such as `"CPU"` or `"/device:GPU:0"`; None for TensorFlow's default device.
        implementation: As given to the op.
        **sizes: Other sizes the choice may hang on: of `"attention"`, `value_size`, that of a value.

    Returns:
        A `Choice`; printed, it reads `native: ...` or `reference: ...`.

    Raises:
        ValueError: If `implementation` or `IKELOS_KERNELS` is neither `"native"` nor `"reference"`, or the choice does
            not hang on a size given.
        LibraryError: If native is asked for and the library cannot be loaded.
    """
    asked, setting = _asked(implementation), _setting()
    _check_sizes(op_name, sizes)
    if asked == "reference":
        by = "argument implementation" if implementation else "scope kernels.use"
        return Choice("reference", f"asked for by the {by}", asked=True)
    if setting == "reference":
        return Choice("reference", "asked for by IKELOS_KERNELS=reference", asked=True)
    if asked is None and _is_exported():
        return Choice("reference", "this graph is for an export, which is to load without the library", asked=True)
    if op_name not in NATIVE_OPS:
        return Choice("reference", "no native kernel for this op")
    device_type = _device_type(device)
    if device_type != "CPU":
        return Choice("reference", f"the native kernels run on CPU, not on {device_type}")
    obstacle = NATIVE_OPS[op_name](tf.as_dtype(dtype), tf.TensorShape(shape), **sizes)
    if obstacle is not None:
        return Choice("reference", obstacle)
    loaded = _load()
    if loaded.ops is not None:
        reason = f"{loaded.isa} kernels built for TensorFlow {tf.__version__}"
        return Choice("native", reason, asked="native" in (asked, setting))
    if "native" in (asked, setting):
        raise LibraryError(f"The native kernels cannot be loaded: {loaded.reason}")
    if loaded.path is not None:
        _warn_once(loaded.reason)
    return Choice("reference", loaded.reason)


def status() -> dict[str, object]:
    """What there is to say of the library, for a report: a dict of plain values. Loads it, if an op would.

    Keys: `setting`, the value of IKELOS_KERNELS or None; `path` of the library, None if there is none; `built_for` and
    `running`, TensorFlow versions; `loaded`; `isa`, the instruction set chosen, None if not loaded; `reason`, why it
    is not loaded, None if it is.
    """
    path, setting = _find_library(), _setting()
    report = {
        "setting": setting,
        "path": str(path) if path else None,
        "built_for": _built_for(path).get("version") if path else None,
        "running": tf.__version__,
    }
    if setting == "reference":
        return report | {"loaded": False, "isa": None, "reason": "IKELOS_KERNELS=reference"}
    loaded = _load()
    return report | {"loaded": loaded.ops is not None, "isa": loaded.isa, "reason": loaded.reason or None}


def library():
    """The Python module of the library's ops.

    Raises:
        LibraryError: If it cannot be loaded.
    """
    loaded = _load()
    if loaded.ops is None:
        raise LibraryError(f"The native kernels cannot be loaded: {loaded.reason}")
    return loaded.ops


def _check_implementation(implementation: str) -> None:
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation: expected 'native' or 'reference'. Received: implementation={implementation!r}"
        )


def _check_sizes(op_name: str, sizes: dict[str, int | None]) -> None:
    """After dtype and shape, the parameters of what tells an obstacle are the sizes."""
    known = list(inspect.signature(NATIVE_OPS[op_name]).parameters)[2:] if op_name in NATIVE_OPS else []
    for name, size in sizes.items():
        if name not in known:
            expected = f"sizes of {op_name}, which are {', '.join(known)}" if known else f"no sizes for {op_name}"
            raise ValueError(f"sizes: expected {expected}. Received: {name}={size}")


def _setting() -> str | None:
    setting = os.environ.get("IKELOS_KERNELS") or None
    if setting is not None and setting not in IMPLEMENTATIONS:
        raise ValueError(f"IKELOS_KERNELS: expected 'native' or 'reference'. Received: IKELOS_KERNELS={setting!r}")
    return setting


def _asked(implementation: str | None) -> str | None:
    """What the argument asks for, or else the scope."""
    if implementation is not None:
        _check_implementation(implementation)
        return implementation
    return _scope.get()


def _is_exported() -> bool:
    """Whether the graph that is traced now is for files that others load. Neither Keras nor TensorFlow tells."""
    if tf.executing_eagerly():
        return False
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(EXPORTERS):
            return True
        frame = frame.f_back
    return False


def _device_type(device: str | None) -> str:
    """`"CPU"` of a device name; where there is none, that of TensorFlow's default device."""
    named = tf.DeviceSpec.from_string(device).device_type if device else None
    if named is not None:
        return named
    for accelerator in ("GPU", "TPU"):
        if tf.config.list_logical_devices(accelerator):
            return accelerator
    return "CPU"


@dataclasses.dataclass(frozen=True)
class _Library:
    path: pathlib.Path | None
    ops: object | None = None
    isa: str | None = None
    reason: str = ""


@functools.cache
def _load() -> _Library:
    path = _find_library()
    if path is None:
        return _Library(None, reason=f"this installation has no {LIBRARY_NAME} (see IKELOS_BUILD_NATIVE)")
    built, running = _built_for(path), _running()
    # Compared before the library is opened: one for another ABI may crash the process as it opens.
    if built != running:
        reason = f"{path} was built for {_describe(built)}, and this is {_describe(running)}"
        return _Library(path, reason=reason)
    try:
        ops = tf.load_op_library(str(path))
    except tf.errors.OpError as error:
        return _Library(path, reason=f"{path}: {error.message}")
    isa = ctypes.CDLL(str(path)).ikelos_isa
    isa.restype = ctypes.c_char_p
    return _Library(path, ops, isa().decode())


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"Ikelos runs without its native kernels, slower: {reason}. Reinstall ikelos beside this TensorFlow, or set "
        "IKELOS_KERNELS=reference to say that this is meant.",
        RuntimeWarning,
        stacklevel=2,
    )


def _find_library() -> pathlib.Path | None:
    # Beside this file in a wheel. In an editable install the sources are elsewhere: then the package's search path
    # has both places, and so have the records of the installation.
    folders = [pathlib.Path(folder) for folder in sys.modules[__package__].__path__]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        distribution = importlib.metadata.distribution("ikelos")
        folders.append(pathlib.Path(str(distribution.locate_file("ikelos/kernels"))))
    for folder in folders:
        if (folder / LIBRARY_NAME).is_file():
            return folder / LIBRARY_NAME
    return None


def _built_for(path: pathlib.Path) -> dict[str, object]:
    """What `csrc/describe_tensorflow.py` wrote beside the library when it was built."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}
    return {key: record.get(key) for key in _running()}


def _running() -> dict[str, object]:
    return {
        "version": tf.__version__,
        "git_version": tf.version.GIT_VERSION,
        "cxx11_abi": int(tf.sysconfig.CXX11_ABI_FLAG),
    }


def _describe(tensorflow: dict[str, object]) -> str:
    if not tensorflow:
        return "an unknown TensorFlow (no record beside it)"
    return "TensorFlow {version} ({git_version}, C++11 ABI {cxx11_abi})".format(**tensorflow)
