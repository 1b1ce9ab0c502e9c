"""What an installation holds, and what importing it brings in."""

import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]

IMPORTS = """
import sys
import ikelos.layers
import ikelos.pipelines
heavy = {"tensorflow_probability", "tfx", "tensorflow_datasets", "tensorflow_text"}
print(sorted(heavy & sys.modules.keys()))
print([path for path in sys.path if path == ROOT])
"""


def run(*command, **environment):
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | environment,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_layers_need_tensorflow_and_keras_alone():
    assert run(sys.executable, "-c", IMPORTS.replace("ROOT", repr(str(ROOT)))).splitlines()[0] == "[]"


def test_the_root_of_the_repository_is_not_on_the_path():
    # There a folder `kernels` would shadow the package of that name, and `import layers` register every class twice.
    assert run(sys.executable, "-c", IMPORTS.replace("ROOT", repr(str(ROOT)))).splitlines()[1] == "[]"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """An sdist, and a wheel built from it by the interpreter that runs the tests."""
    folder = tmp_path_factory.mktemp("dist")
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, PATH=path)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_the_sdist_holds_real_files_once(distributions):
    with tarfile.open(distributions[0]) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if member.issym() or member.islnk()]
    names = {member.name.split("/", 1)[1] for member in members}
    assert {"CMakeLists.txt", "src/ikelos/kernels/csrc/core/rms_norm.cc", "src/ikelos/layers/__init__.py"} <= names
    assert not [name for name in names if name.startswith(("kernels/", "layers/", "tests/"))]


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_library(distributions):
    wheel = distributions[1]
    assert wheel.name.split("-")[2:4] == ["py3", "none"]
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"ikelos/kernels/libikelos.{suffix}" for suffix in ("so", "json")} <= names
    modules = {
        f"ikelos/{path.relative_to(ROOT / 'src' / 'ikelos')}" for path in (ROOT / "src" / "ikelos").glob("*/*.py")
    }
    assert modules <= names
    assert [name for name in names if name.startswith("ikelos/tfx_configs/") and name.endswith(".yaml")]
    assert not [name for name in names if "csrc" in name or "__pycache__" in name]


NATIVE = """
import tensorflow as tf
from ikelos import kernels
assert kernels.__file__.startswith(FOLDER), kernels.__file__
assert kernels.status()["path"].startswith(FOLDER), kernels.status()
y = kernels.rms_norm(tf.ones([2, 5]), tf.ones([5]), implementation="native")
assert abs(float(y[1, 4]) - 1) < 1e-5
"""


@pytest.mark.slow
def test_the_wheel_runs_in_a_new_environment(distributions, tmp_path):
    # Its dependencies are those of this environment, seen through a path file: installing them would take minutes.
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", distributions[1])
    import tensorflow

    (packages / "dependencies.pth").write_text(str(pathlib.Path(tensorflow.__file__).parents[1]))
    run(python, "-c", NATIVE.replace("FOLDER", repr(str(tmp_path))), IKELOS_KERNELS="native")


@pytest.mark.slow
def test_without_native_kernels_the_wheel_is_for_any_platform(tmp_path):
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT),
        IKELOS_BUILD_NATIVE="0",
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if "libikelos" in name]


@pytest.mark.slow
def test_without_a_compiler_the_build_says_what_to_do(tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    environment = os.environ | {"CXX": "/no/such/compiler"}
    build = ["--config-setting", f"build-dir={tmp_path / 'build'}"]
    result = subprocess.run([*command, *build], capture_output=True, text=True, env=environment)
    assert result.returncode != 0
    assert "IKELOS_BUILD_NATIVE=0" in result.stdout + result.stderr
