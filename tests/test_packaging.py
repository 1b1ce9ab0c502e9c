"""What an installation holds, and what importing it brings in."""

import io
import os
import pathlib
import platform
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
from elftools.elf.elffile import ELFFile

import ikelos
from ikelos import kernels

ROOT = pathlib.Path(__file__).parents[1]

IMPORTS = """
import sys
import keras, tensorflow
before = set(sys.modules)
import ikelos.layers, ikelos.layers.decoding
print(*{name.split(".")[0] for name in set(sys.modules) - before})
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


@pytest.fixture(scope="module")
def imported():
    """Returns what importing brings in: packages by the layers, heavy packages, and the root of the repository."""
    return run(sys.executable, "-c", IMPORTS.replace("ROOT", repr(str(ROOT)))).splitlines()


def test_layers_import_no_more_than_tensorflow_keras_and_what_is_ours(imported):
    assert set(imported[0].split()) <= {"ikelos"} | set(sys.stdlib_module_names)


def test_pipelines_import_nothing_heavy(imported):
    assert imported[1] == "[]"


def test_the_root_of_the_repository_is_not_on_the_path(imported):
    # There a folder `kernels` would shadow the package of that name, and `import layers` register every class twice.
    assert imported[2] == "[]"


def test_the_version_says_which_tensorflow_it_is_for():
    minor, _, release = ikelos.__version__.rpartition(".")
    assert release.isdecimal()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pin = f"tensorflow=={minor}.*"
    assert pin in project["project"]["dependencies"]
    assert pin in project["build-system"]["requires"]
    assert pin in (ROOT / "Makefile").read_text()
    assert kernels.status()["built_for"].startswith(f"{minor}.")


def dynamic(library):
    """The libraries that one needs, and where it looks for them besides the system's folders."""
    tags = list(ELFFile(library).get_section_by_name(".dynamic").iter_tags())
    needed = {tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"}
    return needed, [tag.runpath for tag in tags if tag.entry.d_tag == "DT_RUNPATH"]


def assert_needs_the_tensorflow_beside_it(library):
    needed, runpath = dynamic(library)
    assert {"libtensorflow_framework.so.2", "libtensorflow_cc.so.2"} <= needed
    assert not [name for name in needed if name.startswith("libpython")]
    assert runpath == ["$ORIGIN/../../tensorflow"]


def test_the_library_finds_the_tensorflow_beside_it():
    with open(kernels.status()["path"], "rb") as library:
        assert_needs_the_tensorflow_beside_it(library)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """What `make wheel` makes, by the interpreter that runs the tests: an sdist, and a wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    setup = ("--old-file=.venv/installed", f"BIN={pathlib.Path(sys.executable).parent}")
    run("make", "-C", ROOT, "wheel", *setup, f"DIST={folder}")
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
    name = rf"ikelos-{re.escape(ikelos.__version__)}-py3-none-manylinux_2_\d+_{platform.machine()}\.whl"
    assert re.fullmatch(name, wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert_needs_the_tensorflow_beside_it(io.BytesIO(archive.read("ikelos/kernels/libikelos.so")))
    assert len([name for name in names if ".so" in name]) == 1  # no copies of other libraries
    assert {f"ikelos/kernels/libikelos.{suffix}" for suffix in ("so", "json")} <= names
    modules = {
        f"ikelos/{path.relative_to(ROOT / 'src' / 'ikelos')}" for path in (ROOT / "src" / "ikelos").glob("*/*.py")
    }
    assert modules <= names
    assert [name for name in names if name.startswith("ikelos/tfx_configs/") and name.endswith(".yaml")]
    assert not [name for name in names if "csrc" in name or "__pycache__" in name]


@pytest.mark.slow
def test_the_wheel_runs_in_a_new_environment(distributions):
    assert "works" in run(sys.executable, ROOT / "tests" / "wheel" / "check.py", distributions[1])


@pytest.mark.slow
def test_the_check_of_a_wheel_notices_what_is_missing(distributions, tmp_path):
    wheel = tmp_path / distributions[1].name
    with zipfile.ZipFile(distributions[1]) as archive, zipfile.ZipFile(wheel, "w") as copy:
        for name in archive.namelist():
            if not name.endswith("libikelos.so"):
                copy.writestr(name, archive.read(name))
    command = [sys.executable, ROOT / "tests" / "wheel" / "check.py", wheel]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert "libikelos.so: cannot open shared object file" in result.stderr


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
