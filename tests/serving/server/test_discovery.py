import pytest

from ikelos.serving.server.discovery import check_path, find_models


def make(*folders):
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"")


def test_a_base_path_has_the_name_of_its_folder(tmp_path):
    make(tmp_path / "scores" / "1", tmp_path / "scores" / "00000123")
    assert find_models(tmp_path / "scores") == {"scores": tmp_path / "scores"}


def test_an_export_has_the_name_of_its_run(tmp_path):
    make(tmp_path / "my run" / "export" / "1")
    expected = {"my_run": tmp_path / "my run" / "export"}
    assert find_models(tmp_path / "my run") == find_models(tmp_path / "my run" / "export") == expected


def test_a_folder_of_models_and_runs(tmp_path, monkeypatch):
    make(tmp_path / "scores" / "1", tmp_path / "run" / "export" / "1", tmp_path / ".hidden" / "1")
    (tmp_path / "empty" / "export").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    expected = {"run": tmp_path / "run" / "export", "scores": tmp_path / "scores"}
    assert find_models(tmp_path) == expected
    monkeypatch.chdir(tmp_path / "scores")
    assert find_models(tmp_path / ".") == expected


def test_a_link_gives_the_model_its_name(tmp_path):
    make(tmp_path / "scores" / "1")
    (tmp_path / "live").symlink_to(tmp_path / "scores")
    assert list(find_models(tmp_path / "live")) == ["live"]


def test_two_models_of_one_name_are_refused(tmp_path):
    make(tmp_path / "a b" / "1", tmp_path / "a_b" / "1")
    with pytest.raises(ValueError, match=r"must not have one name. Received: .*/a b and .*/a_b, both a_b"):
        find_models(tmp_path)


def test_a_path_without_a_model(tmp_path):
    make(tmp_path / "scores" / "1")
    (tmp_path / "export").mkdir()
    check_path(tmp_path)
    for path, message in [
        (tmp_path / "absent", "PATH must be a folder. Received: .*/absent, which is not a folder"),
        (tmp_path / "scores" / "1", "PATH must be .*/scores, the folder of the versions. Received: .*/scores/1"),
        (tmp_path / "export", "PATH must hold a model, .* Received: .*/export, without a version"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_path(path)
