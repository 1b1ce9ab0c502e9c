import pytest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--artifacts abfs://bucket/root --push-to gs://bucket/served",
            "`--artifacts` must begin with gs:// or s3:// with --on kubeflow. Received: abfs://bucket/root",
        ),
        (
            "--artifacts s3://bucket/root",
            "`--push-to` must begin with gs:// or s3:// with --on kubeflow. Received: None",
        ),
    ],
)
def test_kubeflow_gets_only_stores_that_all_nodes_can_write_to(ikelos_command, options, message):
    result = ikelos_command("pipeline", "language_modeling", "--on", "kubeflow", "--image", "ikelos", *options.split())
    assert (result.status, result.out, result.err) == (2, "", f"Error: {message}\n")
