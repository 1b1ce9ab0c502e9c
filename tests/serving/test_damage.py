import json
import os
import shutil

import pytest

from ikelos.serving import CheckFailed, ExportError, StockModel
from ikelos.serving.check import run_check
from ikelos.serving.damage import check_files
from ikelos.serving.examples import EXTRA, read_examples, read_expected

WEIGHTS = "variables/variables.data-00000-of-00001"


@pytest.fixture
def copy(version, tmp_path):
    return shutil.copytree(version, tmp_path / "copy")


def test_a_whole_version(version):
    check_files(version, hashes=True)


@pytest.mark.parametrize(
    "name", ["saved_model.pb", WEIGHTS, "variables/variables.index", f"{EXTRA}/ikelos_expected.json"]
)
def test_a_file_that_is_missing_or_cut_off_is_named(copy, name):
    path = copy / name
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ExportError, match=rf"{path} must have [\d,]+ bytes. Copy the version again, or export the"):
        StockModel(copy)
    path.unlink()
    with pytest.raises(
        ExportError, match=rf"{path}.*Copy the version again|{copy} must be .*Received: a folder without saved_"
    ):
        StockModel(copy)


def test_a_changed_byte_is_found_by_the_check(copy):
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[3] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    check_files(copy)
    with pytest.raises(CheckFailed, match=rf"{copy / WEIGHTS} must have the SHA-256 \w+. Copy .*Received: \w+"):
        run_check(copy)


def test_what_is_no_folder_of_a_version(tmp_path):
    with pytest.raises(ExportError, match=f"{tmp_path}/none must be the folder of a SavedModel. Received: no folder"):
        check_files(tmp_path / "none")
    with pytest.raises(ExportError, match=f"{tmp_path} must be .*Received: an empty folder"):
        check_files(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ExportError, match=r"saved_model.pb must not be empty. Copy"):
        check_files(tmp_path)


@pytest.mark.parametrize("name", [WEIGHTS, "variables/variables.index"])
def test_variables_of_another_program(copy, name):
    shutil.rmtree(copy / EXTRA)
    (copy / name).unlink()
    with pytest.raises(ExportError, match=f"{copy}/variables must have variables.index and variables.data. Copy"):
        StockModel(copy)


@pytest.mark.parametrize(
    ("name", "read", "content"),
    [
        ("ikelos_examples.json", read_examples, "[1]"),
        ("ikelos_examples.json", read_examples, '{"serving_default": 3}'),
        ("ikelos_examples.json", read_examples, '{"serving_default": {"inputs": {"x": {"b64": 3}}, "doc": ""}}'),
        ("ikelos_examples.json", read_examples, "not JSON"),
        ("ikelos_expected.json", read_expected, '{"f": {"y": {"dtype": "float32", "shape": [9], "base64": ""}}}'),
        ("ikelos_expected.json", read_expected, '{"f": {"y": {"dtype": "float99", "shape": [], "base64": ""}}}'),
    ],
)
def test_files_of_other_content(copy, name, read, content):
    path = copy / EXTRA / name
    path.write_text(content)
    with pytest.raises(ExportError, match=f"{path} must be as ikelos.serving.export wrote it. Export the model again"):
        read(copy)


def test_variables_that_another_program_needs(copy):
    shutil.rmtree(copy / EXTRA)
    shutil.rmtree(copy / "variables")
    with pytest.raises(ExportError, match=f"{copy}/variables must have variables.index and variables.data. Copy"):
        StockModel(copy)


@pytest.mark.parametrize("changes", [{"files": [1]}, {"files": {"a": 3}}, {"signatures": 5}])
def test_a_card_of_another_form(copy, changes):
    path = copy / EXTRA / "ikelos_card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ExportError, match=f"{path} must be as ikelos.serving.export wrote it"):
        check_files(copy)
