"""Calls to a server by gRPC."""

import copy
import re
from typing import Any, Self

import numpy as np

from ikelos.serving.client.errors import ServingError, error_of, invalid_answers
from ikelos.serving.client.transport import (
    Blocking,
    DescribedByMetadata,
    Suspending,
    Target,
    VersionStatus,
    missing,
    read,
    version_statuses,
)
from ikelos.serving.protocol.messages import (
    METHODS,
    RETRY_PUSHBACK,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    ModelSpec,
    PredictRequest,
)
from ikelos.serving.protocol.metadata import SIGNATURES_FIELD
from ikelos.serving.protocol.rest import Specs
from ikelos.serving.protocol.tensors import from_tensor_proto, to_tensor_proto

try:
    import grpc
    import grpc.aio
except ImportError as error:
    raise missing("grpcio", error) from error

_PREDICTION, _MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"


class _Calls(DescribedByMetadata):
    """The calls as messages; a subclass sends them."""

    _channel: Any = None

    def __init__(self, target: Target):
        self._target = target
        self._spec = ModelSpec(name=target.model)
        if target.version is not None:
            self._spec.version.value = target.version
        elif target.label is not None:
            self._spec.version_label = target.label
        self._methods: dict[str, Any] = {}

    async def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: Specs, timeout: float
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature."""
        request = PredictRequest(model_spec=self._spec)
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(to_tensor_proto(array))
        response = await self._call(_PREDICTION, "Predict", request, timeout)
        with invalid_answers():
            return {
                name: from_tensor_proto(f"output {name!r}", response.outputs[name]) for name in sorted(response.outputs)
            }

    def at(self, version: int) -> Self:
        """Returns a transport to one version, over the same channel."""
        other = copy.copy(self)
        other._spec = ModelSpec(name=self._target.model, version={"value": version})
        return other

    async def status(self, timeout: float) -> list[VersionStatus]:
        """Returns the state of the model's versions."""
        request = GetModelStatusRequest(model_spec=self._spec)
        return version_statuses(await self._call(_MODEL, "GetModelStatus", request, timeout))

    async def _metadata(self, timeout: float) -> GetModelMetadataResponse:
        request = GetModelMetadataRequest(model_spec=self._spec, metadata_field=[SIGNATURES_FIELD])
        return await self._call(_PREDICTION, "GetModelMetadata", request, timeout)

    async def _call(self, service: str, method: str, request: Any, timeout: float) -> Any:
        raise NotImplementedError

    def _method(self, service: str, method: str) -> Any:
        """Returns the function that calls a method."""
        if method not in self._methods:
            request, response = METHODS[service][method]
            self._methods[method] = self._channel.unary_unary(
                f"/{service}/{method}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
        return self._methods[method]


class GrpcTransport(_Calls, Blocking):
    """Blocking calls over one channel, which threads may share."""

    def __init__(self, target: Target):
        super().__init__(target)
        self._channel = _open(grpc, target)

    async def _call(self, service: str, method: str, request: Any, timeout: float) -> Any:
        try:
            return self._method(service, method)(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _translated(error) from error

    async def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


class AsyncGrpcTransport(_Calls, Suspending):
    """Calls for asyncio over one channel, which belongs to the event loop of the first call."""

    async def _call(self, service: str, method: str, request: Any, timeout: float) -> Any:
        if self._channel is None:
            self._channel = _open(grpc.aio, self._target)
        try:
            return await self._method(service, method)(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _translated(error) from error

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close()


def _open(library: Any, target: Target) -> Any:
    """Returns a channel of `grpc` or `grpc.aio`, which connects at the first call."""
    options = [
        ("grpc.max_send_message_length", target.max_message_bytes),
        ("grpc.max_receive_message_length", target.max_message_bytes),
        # A server that starts is found soon. By default the waits grow to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.enable_http_proxy", int(not target.is_local)),
    ]
    tls = target.tls
    if tls is None:
        return library.insecure_channel(target.server, options)
    credentials = grpc.ssl_channel_credentials(read(tls.root_certificates), read(tls.key), read(tls.certificate))
    return library.secure_channel(target.server, credentials, options)


def _translated(error: Any) -> ServingError:
    code = error.code().name
    # When the server wants the next try, in milliseconds; below 0 it wants none.
    pushback = next((value for key, value in error.trailing_metadata() or () if key == RETRY_PUSHBACK), "")
    asked = int(pushback) / 1000 if re.fullmatch(r"-?\d{1,9}", pushback) else None
    may_pass = code == "UNAVAILABLE" or (code == "RESOURCE_EXHAUSTED" and asked is not None)
    retryable = may_pass and (asked is None or asked >= 0)
    return error_of(code, error.details() or "", retryable, asked if retryable else None)
