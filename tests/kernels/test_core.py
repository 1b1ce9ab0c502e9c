"""Builds and runs the C++ tests of `kernels/csrc/core`, which need no TensorFlow."""

import pathlib
import platform
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = pathlib.Path(sysconfig.get_path("scripts"))

pytestmark = [pytest.mark.slow, pytest.mark.core]


@pytest.fixture(scope="module")
def build_folder(tmp_path_factory):
    """Builds the C++ tests in the folder of the installed library, with its objects, or in a new folder without one."""
    folder, commands = ROOT / "build" / sys.implementation.cache_tag, []
    if not (folder / "CMakeCache.txt").exists():
        folder = tmp_path_factory.mktemp("core")
        commands.append(["cmake", "-S", ROOT, "-B", folder, "-DIKELOS_BUILD_OPS=OFF"])
    commands.append(["cmake", "--build", folder, "--target", "core_tests", "--parallel", "2"])
    for command in commands:
        command[0] = SCRIPTS / command[0]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        # Those of the core itself are errors in CI.
        assert "warning" not in result.stdout + result.stderr
    return folder


# The fuzzers make that many random calls and check their results; `make sanitize` makes many more.
@pytest.mark.parametrize(
    "command",
    [
        "test_core",
        "test_team",
        "test_exp2",
        "test_activations",
        "test_half",
        "test_attention",
        "fuzz_attention 3000",
        "test_cached_attention",
        "fuzz_cached_attention 3000",
        "test_recurrent",
        "fuzz_recurrent 1000",
        "test_dense",
        "test_rotary",
        "test_swiglu",
    ],
)
def test_core_passes_its_own_tests(build_folder, command):
    program, *arguments = command.split()
    result = subprocess.run([build_folder / program, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_function_is_shared_between_instruction_sets(build_folder):
    # The linker keeps one copy of a weak symbol: were it the AVX-512 one, other machines would crash.
    folders = {
        folder.name.removeprefix("ikelos_").removesuffix(".dir"): folder
        for folder in build_folder.rglob("ikelos_*.dir")
    }
    del folders["core"]  # compiled once, for every machine
    on_x86 = platform.machine() in ("x86_64", "AMD64")
    assert set(folders) == ({"portable", "avx2", "avx512"} if on_x86 else {"portable"})
    objects = [(isa, path) for isa, folder in folders.items() for path in folder.rglob("*.o")]
    assert {isa for isa, _ in objects} == set(folders)
    for isa, path in objects:
        symbols = subprocess.run(["nm", "--demangle", path], capture_output=True, text=True, check=True).stdout
        defined = [line.split(maxsplit=2) for line in symbols.splitlines() if not line.startswith(" ")]
        assert not [name for _, kind, name in defined if kind in "WVu" and f"ikelos::{isa}::" not in name]
