"""TensorFlow Serving's REST API, the metrics and the page, answered by an engine.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from grpc import StatusCode
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from ikelos.serving.protocol import rest
from ikelos.serving.protocol.metadata import write_metadata, write_status
from ikelos.serving.server import metadata, openapi, page_api
from ikelos.serving.server.engine import Engine
from ikelos.serving.server.errors import RequestError, unexpected
from ikelos.serving.server.requests import check_origin, read_body, uncompressed

# As in tensorflow_serving/model_servers/http_rest_api_util.cc.
_CHOICE = r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICTION = re.compile(rf"/v1/models/([^/:]+){_CHOICE}:(classify|regress|predict)", re.IGNORECASE)
_STATUS = re.compile(rf"/v1/models(?:/([^/:]+))?{_CHOICE}(?:/(metadata))?", re.IGNORECASE)
_METRICS = "/monitoring/prometheus/metrics"
_LARGEST = 2**63 - 1

Choice = tuple[str, int | None, str | None]


def make_app(engine: Engine) -> ASGIApp:
    """Returns the ASGI application."""

    async def api(request: Request) -> Response:
        # As it was sent: a name may hold an escaped slash. TensorFlow Serving takes a query for a part of the path.
        query = request.scope["query_string"]
        path = (request.scope["raw_path"] + (b"?" + query if query else b"")).decode("ascii", errors="replace")
        if request.method == "POST" and (found := _PREDICTION.fullmatch(path)):
            return await _predict(engine, request, _choice(*found.groups()[:3]), found[4].lower())
        if request.method == "GET" and (found := _STATUS.fullmatch(path)):
            return _describe(engine, _choice(*found.groups()[:3]), bool(found[4]))
        if path.lower().startswith("/v1/"):
            raise RequestError(StatusCode.INVALID_ARGUMENT, f"Malformed request: {request.method} {path}")
        raise RequestError(StatusCode.NOT_FOUND, f"There is nothing for {request.method} at {path}")

    async def metrics(request: Request) -> Response:
        return Response(engine.metrics.page(), media_type="text/plain; version=0.0.4")

    async def description(request: Request) -> Response:
        return JSONResponse(openapi.describe(engine.manager, engine.settings, _METRICS))

    routes = [Route(_METRICS, metrics), Route(openapi.PATH, description), *page_api.routes(engine)]
    handlers = {RequestError: _refuse, 405: _refuse_method, Exception: _fail}
    app = Starlette(routes=routes, exception_handlers=handlers)
    # No route: a route takes only some methods, and no path with an escaped line break.
    app.router.default, app.router.redirect_slashes = request_response(api), False
    app.add_middleware(_SameOrigin, host=engine.settings.host)
    return app


class _SameOrigin:
    """Middleware that refuses the requests of other sites."""

    def __init__(self, app: ASGIApp, host: str):
        self._app, self._host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] == "http":
            request = Request(scope, receive)
            try:
                check_origin(request, self._host)
            except RequestError as error:
                answer = await _refuse(request, error)
        await answer(scope, receive, send)


async def _predict(engine: Engine, request: Request, choice: Choice, method: str) -> Response:
    with engine.call("REST") as call:
        body = await read_body(request, engine.settings.max_bytes)
        if method != "predict":
            raise RequestError(
                StatusCode.UNIMPLEMENTED, f"This server does not have {method}: use predict, or TensorFlow Serving"
            )
        with engine.version(call, *choice) as version:
            async with engine.parsing:
                # Here, since the parsing semaphore bounds how many large bodies are in memory at once.
                body = await _in_thread(uncompressed, request, body, engine.settings.max_bytes)
                parsed = await _in_thread(rest.read_predict, body)
                del body
                inputs = engine.signature(call, version, parsed.signature)["inputs"]
                arrays = await _in_thread(parsed.arrays, inputs)
                by_rows = parsed.by_rows
            del parsed  # JSON takes much more memory than arrays
            outputs = await engine.predict(call, version, call.signature, arrays)
        content = await _in_thread(rest.write_predictions, outputs, by_rows)
        return _json(content)


async def _in_thread(function: Callable, *arguments: Any) -> Any:
    try:
        return await asyncio.to_thread(function, *arguments)
    except ValueError as error:
        raise RequestError(StatusCode.INVALID_ARGUMENT, str(error)) from error


def _choice(name: str | None, number: str | None, label: str | None) -> Choice:
    """Returns the name, the version's number and the label of a path's parts."""
    if number is not None and int(number) > _LARGEST:
        raise RequestError(StatusCode.INVALID_ARGUMENT, f"Failed to convert version: {number} to numeric.")
    return unquote(name or ""), None if number is None else int(number), unquote(label) if label else None


def _describe(engine: Engine, choice: Choice, with_metadata: bool) -> Response:
    if not choice[0]:
        raise RequestError(StatusCode.INVALID_ARGUMENT, "Missing model name in request.")
    if not with_metadata:
        # Of all versions for a label, known or not, as TensorFlow Serving does.
        return _json(write_status(metadata.status_of(engine.manager, *choice[:2])))
    return _json(write_metadata(metadata.metadata_of(engine.manager.find(*choice))))


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    response = _json(rest.write_error(error.message), error.http_status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def _refuse_method(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _json(rest.write_error(f"{request.url.path} does not take {request.method}"), error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _fail(request: Request, error: Exception) -> Response:
    return await _refuse(request, unexpected(error, f"{request.method} {request.url.path}"))
