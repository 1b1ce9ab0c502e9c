"""TensorFlow Serving's gRPC services and gRPC's health service, answered by an engine."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode

from ikelos.serving.protocol import messages, rest, tensors
from ikelos.serving.protocol.metadata import SIGNATURES_FIELD
from ikelos.serving.server import metadata
from ikelos.serving.server.engine import Engine
from ikelos.serving.server.errors import RequestError, unexpected

# An answer to a request: a function of the engine, the request's message and the seconds that the client waits.
Answer = Callable[[Engine, Any, float | None], Awaitable[Any]]


def make_server(engine: Engine) -> grpc.aio.Server:
    """Returns a gRPC server with all services, which has no port yet."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", engine.settings.max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # or a second server would take half of the requests
        ]
    )
    for service, types in messages.METHODS.items():
        methods = {
            name: grpc.unary_unary_rpc_method_handler(
                _handler(engine, name, request, _ANSWERS.get(name) or _unimplemented(name)),
                response_serializer=response.SerializeToString,
            )
            for name, (request, response) in types.items()
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods)])
    return server


def _handler(engine: Engine, method: str, request_class: Any, answer: Answer) -> Callable:
    async def handle(data: bytes, context: grpc.aio.ServicerContext) -> Any:
        try:
            request = await asyncio.to_thread(_parse, request_class, data)
            return await answer(engine, request, context.time_remaining())
        except RequestError as error:
            refusal = error
        except Exception as error:
            refusal = unexpected(error, method)
        wait = () if refusal.retry_after is None else ((messages.RETRY_PUSHBACK, str(1000 * refusal.retry_after)),)
        await context.abort(refusal.code, refusal.message, wait)

    return handle


def _parse(request_class: Any, data: bytes) -> Any:
    # Here, because gRPC would answer INTERNAL to bytes that are no message.
    try:
        return request_class.FromString(data)
    except DecodeError as error:
        name = request_class.DESCRIPTOR.full_name
        raise RequestError(StatusCode.INVALID_ARGUMENT, f"The request must be a {name} ({error})") from error


async def _predict(engine: Engine, request: Any, seconds: float | None) -> Any:
    spec = request.model_spec
    with engine.call("gRPC", seconds) as call, engine.version(call, *metadata.choice(spec)) as version:
        signature = spec.signature_name or rest.DEFAULT_SIGNATURE
        engine.signature(call, version, signature)
        inputs = await asyncio.to_thread(_arrays, request.inputs, signature, engine.settings.max_bytes)
        outputs = await engine.predict(call, version, signature, inputs, list(request.output_filter))
        response = messages.PredictResponse(model_spec=metadata.spec_of(version, signature))
        await asyncio.to_thread(_fill, response, outputs)
        return response


def _arrays(inputs: Any, signature: str, max_bytes: int) -> dict[str, Any]:
    try:
        return {
            name: tensors.from_tensor_proto(f"Signature {signature!r}: input {name!r}", tensor, max_bytes)
            for name, tensor in inputs.items()
        }
    except ValueError as error:
        raise RequestError(StatusCode.INVALID_ARGUMENT, str(error)) from error


def _fill(response: Any, outputs: dict[str, Any]) -> None:
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tensors.to_tensor_proto(array))


async def _get_model_metadata(engine: Engine, request: Any, seconds: float | None) -> Any:
    _check_spec(request)
    if not request.metadata_field:
        raise RequestError(
            StatusCode.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != SIGNATURES_FIELD:
            raise RequestError(StatusCode.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
    return metadata.metadata_of(engine.manager.find(*metadata.choice(request.model_spec)))


async def _get_model_status(engine: Engine, request: Any, seconds: float | None) -> Any:
    _check_spec(request)
    # Of all versions for a label, known or not, as TensorFlow Serving does.
    return metadata.status_of(engine.manager, *metadata.choice(request.model_spec)[:2])


async def _check_health(engine: Engine, request: Any, seconds: float | None) -> Any:
    if request.service and request.service not in messages.METHODS:
        raise RequestError(StatusCode.NOT_FOUND, f"There is no service {request.service}")
    statuses = messages.HealthCheckResponse.DESCRIPTOR.enum_types_by_name["ServingStatus"].values_by_name
    name = "SERVING" if engine.manager.is_ready() else "NOT_SERVING"
    return messages.HealthCheckResponse(status=statuses[name].number)


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise RequestError(StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")


def _unimplemented(method: str) -> Answer:
    async def answer(engine: Engine, request: Any, seconds: float | None) -> Any:
        raise RequestError(
            StatusCode.UNIMPLEMENTED, f"This server does not have {method}: use Predict, or TensorFlow Serving"
        )

    return answer


_ANSWERS: dict[str, Answer] = {
    "Predict": _predict,
    "GetModelMetadata": _get_model_metadata,
    "GetModelStatus": _get_model_status,
    "Check": _check_health,
}
