"""Chooses, at trace time, between an op's native kernel and its plain TensorFlow reference.

The native kernels are in one shared library, built with the package (unless `IKELOS_BUILD_NATIVE=0`) and loaded the
first time that an op could use it. Custom ops work only with the TensorFlow release that they were built for, so a
library built for another release is never opened: there is one warning, and every op runs its reference.

The environment variable `IKELOS_KERNELS` changes the choice for a process: with `reference` the library is never
loaded, and with `native` an error is raised if the library cannot be loaded. `IKELOS_ISA` limits the kernels to an
instruction set: `avx512`, `avx2` or `portable`; it is read once.
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
# Prefixes of the names of modules that trace a graph in order to save it.
EXPORTERS = ("keras.src.export.", "tensorflow.python.saved_model.save")


class LibraryError(RuntimeError):
    """Raised if the native kernels were requested, but their library cannot be loaded."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Implementation that runs an op, with the reason for the choice.

    Attributes:
        implementation: `"native"` or `"reference"`.
        reason: One line of text for users.
        requested: Whether the implementation was requested: by the op's argument, the scope `use`, the environment
            variable `IKELOS_KERNELS`, or the export of a model, which requests the reference.
    """

    implementation: str
    reason: str
    requested: bool = False

    def __str__(self) -> str:
        return f"{self.implementation}: {self.reason}"


def _rms_norm_limit(dtype: tf.DType, shape: tf.TensorShape) -> str | None:
    if dtype not in (tf.float32, tf.bfloat16):
        return f"the native kernel takes float32 and bfloat16, not {dtype.name}"
    if shape.rank == 0:
        return "the native kernel takes tensors with at least one axis, not scalars"
    return None


def _dtype_limit(dtype: tf.DType, shape: tf.TensorShape) -> str | None:
    if dtype not in (tf.float32, tf.bfloat16, tf.float16):
        return f"the native kernel takes float32, bfloat16 and float16, not {dtype.name}"
    return None


def _swiglu_limit(dtype: tf.DType, shape: tf.TensorShape) -> str | None:
    if shape.rank == 0:
        return "the native kernel takes tensors with at least one axis, not scalars"
    return _dtype_limit(dtype, shape)


def _attention_limit(dtype: tf.DType, shape: tf.TensorShape, value_size: int | None = None) -> str | None:
    limit = _dtype_limit(dtype, shape)
    if limit is not None:
        return limit
    size = shape[3] if shape.rank == 4 else None
    if size is not None and size > 256:
        return f"the native kernel takes a head size of at most 256, not {size}"
    if value_size is not None and not 1 <= value_size <= 256:
        return f"the native kernel takes a value size of 1 to 256, not {value_size}"
    return None


# For each op with a native kernel, a function that returns the reason why the kernel cannot run, or None if it can. Its
# arguments are the dtype and shape of the op's main input and, by name, the other sizes on which this depends.
NATIVE_OPS: dict[str, Callable[..., str | None]] = {
    "attention": _attention_limit,
    "cached_attention": _attention_limit,
    "dense": _dtype_limit,
    "gated_dense": _dtype_limit,
    "gru": _dtype_limit,
    "lstm": _dtype_limit,
    "rms_norm": _rms_norm_limit,
    "rotary": _dtype_limit,
    "swiglu": _swiglu_limit,
}

_scope: contextvars.ContextVar[str | None] = contextvars.ContextVar("ikelos_kernels", default=None)


@contextlib.contextmanager
def use(implementation: str) -> Iterator[None]:
    """Context manager in which every op that this thread traces runs as `"native"` or as `"reference"`.

    The choice is made at trace time, so a `tf.function` that was traced before is not affected. Functions that
    `keras.Model.export`, `keras.export.ExportArchive` or `tf.saved_model.save` trace run as `"reference"`, unless an
    argument or a scope requests native. So the SavedModel contains only stock ops and loads wherever TensorFlow does.
    But if you call a `tf.function` before you save it, it must be traced under `use("reference")`.

    Under `use("native")` an op that has no native kernel for its inputs raises ValueError.

    Args:
        implementation: `"native"` or `"reference"`.

    Raises:
        ValueError: If `implementation` is neither `"native"` nor `"reference"`.

    Example:
        >>> with kernels.use("reference"):
        ...     print(kernels.explain("rms_norm"))
        reference: requested by the scope kernels.use
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
    """Returns the implementation of `op_name` to trace, `"native"` or `"reference"`.

    Args:
        op_name: An op of `ikelos.kernels`.
        implementation: The op's argument; None for the choice of the scope `use`. Outside of any scope, None chooses
            native if there is a kernel.
        dtype: Dtype of the op's main input.
        shape: Shape of the op's main input.
        device: Device of the op's main input.
        **sizes: Other sizes that the function in `NATIVE_OPS` takes.

    Raises:
        ValueError: If the argument or the scope requests native and there is no kernel for such an input, or as in
            `explain`.
        TypeError: As in `explain`.
        LibraryError: If the argument, the scope or `IKELOS_KERNELS=native` requests native and the library cannot be
            loaded.
    """
    choice = explain(op_name, dtype, shape, device, implementation, **sizes)
    if choice.implementation != "native" and _requested(implementation) == "native":
        by = "implementation='native'" if implementation is not None else "kernels.use('native')"
        raise ValueError(f"`implementation` must be 'reference' for {op_name}: {choice.reason}. Received: {by}")
    return choice.implementation


def explain(
    op_name: str,
    dtype="float32",
    shape=None,
    device: str | None = None,
    implementation: str | None = None,
    **sizes: int | None,
) -> Choice:
    """Returns the implementation of `op_name` that would run here, and the reason.

    Args:
        op_name: An op of `ikelos.kernels`, such as `"rms_norm"`.
        dtype: Dtype of the op's main input.
        shape: Shape of the op's main input, as far as it is known.
        device: A device such as `"CPU"` or `"/device:GPU:0"`; None for TensorFlow's default device.
        implementation: The op's argument of the same name.
        **sizes: Other sizes that decide the choice: for `"attention"` and `"cached_attention"`, `value_size`,
            the E of their values.

    Returns:
        A `Choice`, which prints as `native: ...` or `reference: ...`.

    Raises:
        ValueError: If `implementation` or `IKELOS_KERNELS` is neither `"native"` nor `"reference"`, `sizes` has a name
            that the op does not use, or `device` is not the name of a device.
        TypeError: If `dtype` is not a dtype.
        LibraryError: If native was requested and the library cannot be loaded.

    Example:
        >>> print(kernels.explain("rms_norm", dtype="float16"))
        reference: the native kernel takes float32 and bfloat16, not float16
    """
    requested, setting = _requested(implementation), environment_setting()
    _check_sizes(op_name, sizes)
    if requested == "reference":
        by = "argument implementation" if implementation else "scope kernels.use"
        return Choice("reference", f"requested by the {by}", requested=True)
    if setting == "reference":
        return Choice("reference", "requested by IKELOS_KERNELS=reference", requested=True)
    if requested is None and _is_exported():
        return Choice("reference", "this graph is exported and must load without the library", requested=True)
    if op_name not in NATIVE_OPS:
        return Choice("reference", "no native kernel for this op")
    device_type = _device_type(device)
    if device_type != "CPU":
        return Choice("reference", f"the native kernels run on CPU, not on {device_type}")
    limit = NATIVE_OPS[op_name](tf.as_dtype(dtype), tf.TensorShape(shape), **sizes)
    if limit is not None:
        return Choice("reference", limit)
    loaded = _load()
    if loaded.ops is not None:
        reason = f"{loaded.isa} kernels built for TensorFlow {tf.__version__}"
        return Choice("native", reason, requested="native" in (requested, setting))
    if "native" in (requested, setting):
        raise LibraryError(f"The native kernels cannot be loaded: {loaded.reason}")
    if loaded.path is not None:
        _warn_once(loaded.reason)
    return Choice("reference", loaded.reason)


def status() -> dict[str, object]:
    """Returns the state of the native library, and loads the library unless `IKELOS_KERNELS=reference`.

    Returns:
        A dict of plain values: `setting`, the value of `IKELOS_KERNELS` or None; `path` of the library or None;
        `built_for` and `running`, TensorFlow versions; `loaded`, a bool; `isa`, the instruction set in use or None;
        `cache_bytes`, the size of a core's second-level cache, for which the kernels choose the sizes of their blocks,
        or None; `reason`, the reason why the library is not loaded, or None.

    Raises:
        ValueError: If `IKELOS_KERNELS` is neither `"native"` nor `"reference"`, or `IKELOS_ISA` is not an instruction
            set of this processor.
    """
    path, setting = _find_library(), environment_setting()
    report = {
        "setting": setting,
        "path": str(path) if path else None,
        "built_for": _recorded_tensorflow(path).get("version") if path else None,
        "running": tf.__version__,
    }
    if setting == "reference":
        return report | {"loaded": False, "isa": None, "cache_bytes": None, "reason": "IKELOS_KERNELS=reference"}
    loaded = _load()
    return report | {
        "loaded": loaded.ops is not None,
        "isa": loaded.isa,
        "cache_bytes": loaded.cache_bytes,
        "reason": loaded.reason or None,
    }


def library():
    """Returns the Python module of the ops in the native library.

    Raises:
        LibraryError: If the library cannot be loaded.
    """
    loaded = _load()
    if loaded.ops is None:
        raise LibraryError(f"The native kernels cannot be loaded: {loaded.reason}")
    return loaded.ops


def _check_implementation(implementation: str) -> None:
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"`implementation` must be 'native', 'reference' or None. Received: implementation={implementation!r}"
        )


def _check_sizes(op_name: str, sizes: dict[str, int | None]) -> None:
    """Checks that the names of `sizes` are parameters of the op's function in `NATIVE_OPS`.

    Raises:
        ValueError: If a name is not one of these parameters.
    """
    known = list(inspect.signature(NATIVE_OPS[op_name]).parameters)[2:] if op_name in NATIVE_OPS else []
    for name, size in sizes.items():
        if name not in known:
            expected = ", ".join(known) or "none"
            raise ValueError(f"`sizes` of {op_name} must be among: {expected}. Received: {name}={size}")


def environment_setting() -> str | None:
    """Returns the value of the environment variable `IKELOS_KERNELS`, None if the variable is not set or empty.

    Raises:
        ValueError: If the value is neither `"native"` nor `"reference"`.
    """
    setting = os.environ.get("IKELOS_KERNELS") or None
    if setting is not None and setting not in IMPLEMENTATIONS:
        raise ValueError(f"`IKELOS_KERNELS` must be 'native' or 'reference'. Received: IKELOS_KERNELS={setting!r}")
    return setting


def requests() -> tuple[str | None, str | None]:
    """Returns what the scope `use` and the environment variable `IKELOS_KERNELS` request, unchecked."""
    return _scope.get(), os.environ.get("IKELOS_KERNELS")


def _requested(implementation: str | None) -> str | None:
    """Returns the implementation that the op's argument requests or, if it is None, the scope; None without a scope.

    Raises:
        ValueError: If the argument is neither `"native"`, `"reference"` nor None.
    """
    if implementation is not None:
        _check_implementation(implementation)
        return implementation
    return _scope.get()


def _is_exported() -> bool:
    """Returns whether the current graph is traced for an export.

    Neither Keras nor TensorFlow has a function for that, so the call stack is searched for their exporters.
    """
    if tf.executing_eagerly():
        return False
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(EXPORTERS):
            return True
        frame = frame.f_back
    return False


def _device_type(device: str | None) -> str:
    """Returns the type of a device, such as `"CPU"`; that of TensorFlow's default device if `device` names no type."""
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
    cache_bytes: int | None = None
    reason: str = ""


@functools.cache
def _load() -> _Library:
    path = _find_library()
    if path is None:
        return _Library(None, reason=f"this installation has no {LIBRARY_NAME} (see IKELOS_BUILD_NATIVE)")
    built, running = _recorded_tensorflow(path), _running_tensorflow()
    # Compared before the library is opened, because opening a library for another ABI may crash the process.
    if built != running:
        reason = f"{path} was built for {_describe_tensorflow(built)}, and this is {_describe_tensorflow(running)}"
        return _Library(path, reason=reason)
    try:
        ops = tf.load_op_library(str(path))
    except tf.errors.OpError as error:
        return _Library(path, reason=f"{path}: {error.message}")
    library = ctypes.CDLL(str(path))
    library.ikelos_cache_bytes.restype = ctypes.c_int64
    return _Library(path, ops, _instruction_set(library), library.ikelos_cache_bytes())


def _instruction_set(library: ctypes.CDLL) -> str:
    """Returns the instruction set that the kernels use.

    Raises:
        ValueError: If `IKELOS_ISA` is not one that this processor has.
    """
    chosen, supported = library.ikelos_isa, library.ikelos_supported_isas
    chosen.restype = supported.restype = ctypes.c_char_p
    setting, names = os.environ.get("IKELOS_ISA"), supported().decode()
    if setting and setting not in names.split(", "):
        raise ValueError(
            f"`IKELOS_ISA` must be an instruction set of this processor: {names}. Received: IKELOS_ISA={setting!r}"
        )
    return chosen().decode()


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"Ikelos runs without its native kernels and is slower: {reason}. Reinstall ikelos for this TensorFlow, or set "
        "IKELOS_KERNELS=reference to silence this warning.",
        RuntimeWarning,
        stacklevel=2,
    )


def _find_library() -> pathlib.Path | None:
    # A wheel has the library next to this file. An editable install has it in site-packages, which is on the package's
    # search path and in the records of the installation.
    folders = [pathlib.Path(folder) for folder in sys.modules[__package__].__path__]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        distribution = importlib.metadata.distribution("ikelos")
        folders.append(pathlib.Path(str(distribution.locate_file("ikelos/kernels"))))
    for folder in folders:
        if (folder / LIBRARY_NAME).is_file():
            return folder / LIBRARY_NAME
    return None


def _recorded_tensorflow(path: pathlib.Path) -> dict[str, object]:
    """Returns what is recorded about the TensorFlow that the library at `path` was built for.

    The build writes the output of `csrc/describe_tensorflow.py` into a JSON file beside the library.

    Returns:
        The recorded values for the keys of `_running_tensorflow`; empty if the file is missing or is not JSON.
    """
    try:
        record = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}
    return {key: record.get(key) for key in _running_tensorflow()}


def _running_tensorflow() -> dict[str, object]:
    return {
        "version": tf.__version__,
        "git_version": tf.version.GIT_VERSION,
        "cxx11_abi": int(tf.sysconfig.CXX11_ABI_FLAG),
    }


def _describe_tensorflow(tensorflow: dict[str, object]) -> str:
    if not tensorflow:
        return "an unknown TensorFlow (there is no record next to it)"
    return "TensorFlow {version} ({git_version}, C++11 ABI {cxx11_abi})".format(**tensorflow)
