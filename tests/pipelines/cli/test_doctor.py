import contextlib
import json
import re
import sys
import types

import keras
import pytest
import tensorflow as tf

import ikelos
from ikelos import kernels
from ikelos.pipelines.cli import doctor


def test_json_tells_versions_machine_and_kernels(ikelos_command):
    result = ikelos_command("doctor", "--json")
    assert result.status == 0
    found = json.loads(result.out)
    assert found["versions"]["tensorflow"] == tf.__version__
    assert found["versions"]["keras"] == keras.__version__
    assert found["versions"]["ikelos"] == ikelos.__version__
    assert set(found["machine"]) == {"processor", "cores", "memory", "disk", "GPUs"}
    assert found["keras"] == {"backend": "tensorflow", "image data format": "channels_last", "floatx": "float32"}
    assert {f"{op} on CPU" for op in doctor.OPS} <= set(found["kernels"])


def test_text_has_the_same_lines(ikelos_command):
    result = ikelos_command("doctor")
    assert (result.status, result.err) == (0, "")
    assert [line for line in result.out.splitlines() if not line.startswith(" ")] == [
        "Versions",
        "Machine",
        "Keras",
        "Kernels",
    ]
    assert f"tensorflow-text         {doctor.versions()['tensorflow-text']}" in result.out


@pytest.mark.parametrize(("arguments", "progress"), [([], ["loading TensorFlow"]), (["--json"], [])])
def test_loading_is_shown_but_not_in_json(ikelos_command, monkeypatch, arguments, progress):
    shown = []

    def show(name):
        shown.append(name)
        return contextlib.nullcontext()

    monkeypatch.setattr(doctor, "Progress", show)
    assert ikelos_command("doctor", *arguments).status == 0
    assert shown == progress


def test_rows_without_a_value_are_left_out(ikelos_command):
    result = ikelos_command("doctor")
    assert "library loaded" in result.out
    assert not re.search(r"^  library .*none", result.out, re.MULTILINE)


def test_another_backend_of_keras_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ikelos.layers", None)
    assert doctor.keras_settings()["backend"].startswith("fails: ")


def test_every_op_is_explained():
    assert set(doctor.OPS) == {name for name, value in vars(kernels).items() if is_op(name, value)}


def is_op(name, value):
    return (
        name in kernels.__all__ and isinstance(value, types.FunctionType) and not value.__module__.endswith("dispatch")
    )


def test_why_a_kernel_does_not_load_is_told(monkeypatch):
    def explain(op, device):
        raise kernels.LibraryError("built for TensorFlow 2.20")

    monkeypatch.setattr(kernels, "explain", explain)
    monkeypatch.setattr(kernels, "status", lambda: {"loaded": False, "built_for": "2.20", "path": None})
    found = doctor.kernels()
    assert found["rms_norm on CPU"] == "fails: built for TensorFlow 2.20"
    assert found["library loaded"] == "no"
    assert found["library built for"] == "2.20"
    assert "library path" not in found


def test_a_wrong_setting_of_the_kernels_is_one_line_of_the_table(ikelos_command, monkeypatch):
    monkeypatch.setenv("IKELOS_KERNELS", "foo")
    result = ikelos_command("doctor")
    assert (result.status, result.err) == (0, "")
    assert result.out.partition("Kernels\n")[2] == (
        "  setting  fails: `IKELOS_KERNELS` must be 'native' or 'reference'. Received: IKELOS_KERNELS='foo'\n"
    )


@pytest.mark.parametrize(
    ("cpuinfo", "told"),
    [
        ("model name\t: Some CPU\nflags\t\t: fpu avx2 fma ht\n", "avx2 fma"),
        ("vendor_id\t: unknown\n", "unknown ISA"),
        ("processor\t: 0\nFeatures\t: fp asimd sve\n", "asimd sve"),
    ],
)
def test_what_kernels_choose_by_is_told(monkeypatch, tmp_path, cpuinfo, told):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(doctor, "Path", lambda path: tmp_path / "cpuinfo")
    assert doctor._isa() == told
