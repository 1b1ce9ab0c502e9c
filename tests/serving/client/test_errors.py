import pickle

import pytest

from ikelos.serving.client import errors
from ikelos.serving.protocol.rest import STATUS

CODES = sorted(set(STATUS) - {"OK"})


@pytest.mark.parametrize("code", CODES)
def test_errors_pass_to_other_processes(code):
    error = errors.error_of(code, "what was wrong", retryable=True, retry_after=1.5)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.code, copy.retryable, copy.retry_after) == ("what was wrong", code, True, 1.5)


def test_an_error_without_a_message_says_its_code():
    assert str(errors.error_of("UNAVAILABLE", "")) == "UNAVAILABLE"


def test_an_answer_of_another_kind_is_an_error_of_the_server():
    with pytest.raises(errors.ServerError, match="not one of TensorFlow Serving: no JSON"), errors.invalid_answers():
        raise ValueError("no JSON")
