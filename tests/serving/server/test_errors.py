import grpc
import pytest
from grpc import StatusCode

from ikelos.serving.protocol import messages
from ikelos.serving.server.errors import RequestError, code_of
from ikelos.serving.stock import StockError


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (StatusCode.INVALID_ARGUMENT, 400),
        (StatusCode.FAILED_PRECONDITION, 400),
        (StatusCode.NOT_FOUND, 404),
        (StatusCode.RESOURCE_EXHAUSTED, 429),
        (StatusCode.INTERNAL, 500),
        (StatusCode.UNIMPLEMENTED, 501),
        (StatusCode.DEADLINE_EXCEEDED, 504),
    ],
)
def test_http_statuses_are_those_of_tensorflow_serving(code, status):
    assert RequestError(code, "").http_status == status


def test_a_message_fits_into_a_header():
    error = RequestError(StatusCode.INVALID_ARGUMENT, "é" * 2000)
    assert str(error) == error.message == "é" * 1000 + " ..."


def test_the_codes_of_a_models_errors():
    assert code_of(StockError("")) is StatusCode.UNKNOWN
    assert code_of(StockError("", 8)) is StatusCode.RESOURCE_EXHAUSTED
    assert code_of(StockError("", 99)) is StatusCode.UNKNOWN
    assert code_of(ValueError()) is StatusCode.INVALID_ARGUMENT
    assert code_of(RuntimeError()) is StatusCode.INTERNAL


def test_what_should_not_happen_is_logged_and_told_by_every_protocol(server, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("a secret of the server")

    for place in ("metadata.status_of", "page_api.streaming.stream"):
        monkeypatch.setattr(f"ikelos.serving.server.{place}", broken)
    told = "The server failed; its log says why"
    assert server.http.get("/v1/models/plain").json() == {"error": told}
    request = messages.METHODS["tensorflow.serving.ModelService"]["GetModelStatus"][0]()
    request.model_spec.name = "plain"
    with pytest.raises(grpc.RpcError) as raised:
        server.call("GetModelStatus", request, service="tensorflow.serving.ModelService")
    assert (raised.value.code(), raised.value.details()) == (StatusCode.INTERNAL, told)
    response = server.http.post("/page/stream/writer", json={"inputs": {"prompt": ["a"]}})
    assert response.json() == {"error": told}
    records = [record for record in caplog.records if record.name.startswith("ikelos")]
    assert [record.getMessage() for record in records] == [
        f"{request}: RuntimeError: a secret of the server"
        for request in ("GET /v1/models/plain", "GetModelStatus", "stream of writer")
    ]
