import pytest

from ikelos.pipelines.errors import UserError

pytestmark = pytest.mark.tfx


def test_a_run_to_begin_with_that_is_gone_is_an_error_that_names_warm_start(tmp_path):
    from ikelos.pipelines.tfx import components

    with (
        pytest.raises(
            UserError, match=r"gone must be a complete artifact.* train once with `pipeline\.warm_start=false`"
        ),
        components._fetched_start(f"{tmp_path}/gone"),
    ):
        pass
