"""Options of `ikelos pipeline` and `ikelos node` that are refused before TFX is needed."""

import os

import pytest

from ikelos.pipelines.tfx import needs

REFUSED = {
    "--on airflow --from Trainer": "`--from` and `--no-cache` must come with --on local. Received: --on airflow",
    "--on kubeflow --no-cache": "`--from` and `--no-cache` must come with --on local. Received: --on kubeflow",
    "--on local --image ikelos": "`--image` must come with --on kubeflow, and only there. Received: --on local",
    "--on kubeflow": "`--image` must come with --on kubeflow, and only there. Received: --on kubeflow",
    "--on kubeflow --image ikelos": "`--artifacts` must begin with gs:// or s3:// with --on kubeflow. Received: None",
    "--on kubeflow --image ikelos --artifacts gs://bucket --push-to here": "`--push-to` must begin with gs:// or "
    "s3:// with --on kubeflow. Received: here",
    "--on kubeflow --image ikelos --artifacts abfs://bucket": "`--artifacts` must begin with gs:// or s3:// with --on "
    "kubeflow. Received: abfs://bucket",
    "--on airflow --artifacts gs://bucket": "`--artifacts` must be a folder with --on airflow. Received: gs://bucket",
    "--on local --push-to file:///models": "`--push-to` must be a path, or the URL of an object store. "
    "Received: 'file:///models'",
    "--on local --push-to ": "`--push-to` must be a path, or the URL of an object store. Received: ''",
}


@pytest.mark.parametrize("options", REFUSED)
def test_options_that_do_not_fit_are_refused(ikelos_command, options):
    result = ikelos_command("pipeline", "language_modeling", *options.split(" "))
    assert (result.status, result.out, result.err) == (2, "", f"Error: {REFUSED[options]}\n")
    assert os.listdir() == []


@pytest.mark.parametrize("option", ["--workdir", "--artifacts", "--push-to"])
def test_a_file_in_the_way_is_named_before_anything_is_loaded(ikelos_process, tmp_path, option):
    (tmp_path / "file").write_text("")
    for place, error in (
        ("file", "{} must be a folder to write to. Received: a file"),
        ("file/x", "cannot write to the folder {}: a file stands where a folder is needed"),
    ):
        result = ikelos_process(
            *("pipeline", "language_modeling", "--on", "local", option, place),
            after="assert 'tensorflow' not in sys.modules",
        )
        assert (result.status, result.err) == (2, f"Error: {error.format(tmp_path / place)}\n")


def test_a_folder_that_is_not_utf8_is_refused(ikelos_command):
    result = ikelos_command("pipeline", "language_modeling", "--on", "local", "--push-to", os.fsdecode(b"a\xff"))
    assert result.status == 2
    assert result.err.startswith("Error: the folder's path must be UTF-8, because TensorFlow accepts no other.")


def test_a_system_without_tfx_is_named(ikelos_command, monkeypatch):
    monkeypatch.setattr(needs, "_OLDEST_GLIBC", (99, 0))
    for arguments in (["pipeline", "language_modeling", "--on", "local"], ["node", "file", "Pusher", "--run-id", "a"]):
        result = ikelos_command(*arguments)
        assert (result.status, "TFX must have glibc" in result.err) == (2, True)
