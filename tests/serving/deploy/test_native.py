"""The files with which TensorFlow Serving is built with the native ops, compared with the tree and with CMake's."""

import pathlib
import re
import subprocess

import pytest

from ikelos.serving.deploy import target

ROOT = pathlib.Path(__file__).parents[3]
CSRC = ROOT / "kernels" / "csrc"
NATIVE = ROOT / "tfx_configs" / "serving" / "native"
LEFT_OUT = {"tensorflow/machine.cc", "tensorflow/xla_lowering.cc"}
# TensorFlow Serving 2.20's tensorflow_serving/model_servers/BUILD, around the list.
SERVER_BUILD = """
# is provably safe.
SUPPORTED_TENSORFLOW_OPS = if_v2([]) + if_not_v2([
    "@org_tensorflow//tensorflow/contrib:contrib_kernels",
]) + [
    "@org_tensorflow_text//tensorflow_text:ops_lib",
]

cc_library(
    name = "server_lib",
    deps = [
        "@org_tensorflow//tensorflow/core:tensorflow",
    ] + SUPPORTED_TENSORFLOW_OPS,
)
"""


@pytest.fixture(scope="module")
def bazel():
    """Returns the libraries by name, and the names of BUILD.bazel, which is a program in a part of Python."""
    libraries = {}
    names = {
        "load": lambda *symbols: None,
        "package": lambda **options: None,
        "glob": lambda patterns: sorted(str(path.relative_to(CSRC)) for each in patterns for path in CSRC.glob(each)),
        "select": lambda choices: choices["@platforms//cpu:x86_64"],
        "cc_library": lambda name, **rule: libraries.setdefault(name, rule),
    }
    exec((NATIVE / "BUILD.bazel").read_text(), names)
    return libraries, names


def cmake(pattern):
    """Returns the files or options of a list in CMakeLists.txt."""
    found = re.search(pattern + r"([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())
    return [word.removeprefix("${CSRC}/") for word in found[1].split()]


def test_the_sources_are_those_of_cmake_without_xla_and_python(bazel):
    _, names = bazel
    assert names["CORE_SOURCES"] == cmake(r"add_library\(ikelos_core STATIC")
    assert names["KERNEL_SOURCES"] == cmake(r"set\(KERNEL_SOURCES")
    ops = cmake(r"add_library\(ikelos MODULE")
    assert names["OP_SOURCES"] == [name for name in ops if not name.endswith("_ffi.cc") and name not in LEFT_OUT]


def test_every_file_of_the_tree_is_in_one_library_or_left_out(bazel):
    _, names = bazel
    listed = [*names["CORE_SOURCES"], *names["KERNEL_SOURCES"], *names["OP_SOURCES"]]
    tree = {str(path.relative_to(CSRC)) for folder in ("core", "tensorflow") for path in (CSRC / folder).glob("*.cc")}
    assert len(listed) == len(set(listed))
    assert {path for path in tree - set(listed) if not path.endswith("_ffi.cc")} == LEFT_OUT


def test_every_header_that_a_source_includes_is_there(bazel):
    libraries, names = bazel
    for name in [*names["CORE_SOURCES"], *names["KERNEL_SOURCES"], *names["OP_SOURCES"]]:
        for header in re.findall(r'^#include "((?:core|tensorflow)/\w+\.h)"', (CSRC / name).read_text(), re.MULTILINE):
            assert header in libraries["headers"]["hdrs"], name


def test_no_source_needs_xla(bazel):
    _, names = bazel
    for name in [*names["CORE_SOURCES"], *names["KERNEL_SOURCES"], *names["OP_SOURCES"]]:
        assert not re.search(r'#include "(xla/|tensorflow/compiler/|tensorflow/ffi_)', (CSRC / name).read_text()), name


def test_the_kernels_are_compiled_as_cmake_compiles_them(bazel):
    libraries, _ = bazel
    common, avx2 = cmake(r"set\(KERNEL_OPTIONS"), cmake(r"set\(FLAGS_avx2")
    flags = {"portable": [], "avx2": avx2}
    flags["avx512"] = [*avx2, *(flag for flag in cmake(r"set\(FLAGS_avx512") if flag != "${FLAGS_avx2}")]
    for isa, expected in flags.items():
        library = libraries[f"kernels_{isa}"]
        assert library["copts"] == common + expected
        assert library["local_defines"] == [f"IKELOS_ISA={isa}", "IKELOS_X86"]
    assert {f":kernels_{isa}" for isa in flags} <= set(libraries["core"]["deps"])
    assert libraries["ops"]["alwayslink"]


def test_the_ops_are_added_to_those_of_the_server(tmp_path):
    build = tmp_path / "BUILD"
    build.write_text(SERVER_BUILD)
    subprocess.run(["sh", NATIVE / "link_ops.sh", build], check=True)
    server = {"if_v2": lambda ops: ops, "if_not_v2": lambda ops: [], "cc_library": lambda **rule: None}
    exec(build.read_text(), server)
    assert server["SUPPORTED_TENSORFLOW_OPS"] == [
        "@org_tensorflow_text//tensorflow_text:ops_lib",
        "//tensorflow_serving/custom_ops/ikelos:ops",
    ]
    again = subprocess.run(["sh", NATIVE / "link_ops.sh", build], capture_output=True, text=True)
    assert again.returncode == 1
    build.write_text("")
    none = subprocess.run(["sh", NATIVE / "link_ops.sh", build], capture_output=True, text=True)
    assert none.returncode == 1
    assert "must have one list SUPPORTED_TENSORFLOW_OPS" in none.stderr


def test_the_image_is_built_from_the_release_that_is_deployed():
    [version] = re.findall(r"^ARG VERSION=(.*)$", (NATIVE / "Dockerfile").read_text(), re.MULTILINE)
    assert f"tensorflow/serving:{version}" == target.IMAGE


def test_the_image_gets_all_that_it_copies():
    kept = [line[1:] for line in (NATIVE / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", (NATIVE / "Dockerfile").read_text(), re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists()
        assert any(path.startswith(each) for each in kept)
