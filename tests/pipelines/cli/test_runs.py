import fsspec

from ikelos.pipelines.tfx import needs


def test_the_folder_of_a_run_shows_its_newest_version_without_tensorflow(ikelos_process, finished):
    result = ikelos_process("runs", finished, after="assert 'tensorflow' not in sys.modules")
    assert (result.status, result.err) == (0, "")
    assert "SHA-256" in result.out
    assert "Checkpoint of maker" in result.out


def test_another_folder_is_refused(ikelos_command, tmp_path):
    result = ikelos_command("runs", tmp_path)
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "Error: FOLDER must be the folder of a pipeline, with metadata/metadata.sqlite, of a run, with recipe.yaml, or "
        f"of served models, with a version. Received: {tmp_path}\n"
    )


def test_a_base_path_shows_a_version_without_tensorflow(ikelos_process, finished):
    result = ikelos_process(
        "runs", finished / "export", "--version", "1", after="assert 'tensorflow' not in sys.modules"
    )
    assert (result.status, result.err) == (0, "")
    assert f"{finished}/export/1" in "".join(result.out.split())
    assert "Checkpoint of maker" in result.out


def test_a_base_path_may_be_in_an_object_store(ikelos_command, finished):
    system = fsspec.filesystem("memory")
    system.put(f"{finished}/export/", "/models/", recursive=True)
    result = ikelos_command("runs", "memory://models")
    assert (result.status, "memory://models/1" in result.out) == (0, True)
    result = ikelos_command("runs", "nowhere://models")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(
        "Error: nowhere://models must be the URL of an object store, such as gs://bucket/folder. Received: "
    )


def test_a_wrong_version_is_refused(ikelos_command, finished):
    result = ikelos_command("runs", finished, "--version", "latest")
    assert (result.status, result.err) == (
        2,
        "Error: `--version` must be a number or newest. Received: --version latest\n",
    )


def test_the_metadata_of_a_pipeline_need_tfx(ikelos_command, tmp_path, monkeypatch):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "metadata.sqlite").touch()
    monkeypatch.setattr(needs, "_OLDEST_GLIBC", (99, 0))
    result = ikelos_command("runs", tmp_path)
    assert (result.status, "TFX must have glibc" in result.err) == (2, True)
