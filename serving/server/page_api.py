"""The page for people at `/`: its files, what it must know of the models, and text that is written token by token."""

import json
import math
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from grpc import StatusCode
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ikelos.serving.bounds import text_of
from ikelos.serving.card import PAGE, bounds_of
from ikelos.serving.client.core import STEPWISE
from ikelos.serving.server import streaming
from ikelos.serving.server.engine import Engine
from ikelos.serving.server.errors import RequestError, unexpected
from ikelos.serving.server.manager import Manager
from ikelos.serving.server.metadata import example_of
from ikelos.serving.server.requests import read_body, uncompressed
from ikelos.serving.server.versions import LONGEST_EXAMPLE, State, Version

_FILES = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# A page of its own and nothing else: no other site may show it in a frame, and it loads nothing from elsewhere.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; media-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# A card comes with a model, whose author is not trusted: no script of it runs.
_CARD_HEADERS = _HEADERS | {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'"}
_MOST_PROMPT = 2**20
"""Most bytes of a request."""
_STOP_BOUNDS = {"max_bytes": 64, "max_size": 16}
"""Bounds of the stop strings of a model without a card. Each token takes time for every character of all of them."""


def routes(engine: Engine) -> list[Route]:
    """Returns the page's routes."""

    async def index(request: Request) -> Response:
        return _file(_FILES / "index.html")

    async def file(request: Request) -> Response:
        return _file(_FILES / request.path_params["name"])

    async def models(request: Request) -> Response:
        return JSONResponse({"models": describe(engine.manager)}, headers=_HEADERS)

    async def card(request: Request) -> Response:
        return _file(engine.manager.find(request.path_params["model"]).path / PAGE, _CARD_HEADERS)

    async def stream(request: Request) -> Response:
        body = uncompressed(request, await read_body(request, _MOST_PROMPT), _MOST_PROMPT)
        events = _events(engine, request.path_params["model"], body)
        return StreamingResponse(events, media_type="application/x-ndjson", headers=_HEADERS)

    return [
        Route("/", index),
        Route("/page/models", models),
        Route("/page/card/{model}", card),
        Route("/page/stream/{model}", stream, methods=["POST"]),
        Route("/page/{name}", file),
    ]


def describe(manager: Manager) -> list[dict[str, Any]]:
    """Returns what the page must know of each model, by its newest version that serves."""
    return [_model(manager, name, known) for name, known in sorted(manager.models.items())]


def _model(manager: Manager, name: str, known: dict[int, Version]) -> dict[str, Any]:
    serving = [version for version in known.values() if version.state is State.AVAILABLE]
    version = max(serving, key=lambda version: version.number, default=None)
    others = [
        {"number": other.number, "state": other.state.name, "message": other.message}
        for other in known.values()
        if other is not version
    ]
    if version is None:
        return {"name": name, "version": None, "others": others, "signatures": [], "provenance": None}
    return {
        "name": name,
        "version": {
            "number": version.number,
            "path": str(version.path),
            "seconds": version.seconds,
            "is_warm": version.is_warm,
            "labels": manager.labels_of(name, version.number),
        },
        "others": others,
        "signatures": _signatures(version),
        "provenance": version.card and version.card["provenance"],
        "card": (version.path / PAGE).is_file(),
    }


def _signatures(version: Version) -> list[dict[str, Any]]:
    names = sorted(version.signatures, key=lambda name: (name != "generate", name != "serving_default", name))
    forms = [_stream(version)] if streaming.can_stream(version.signatures) else []
    hidden = STEPWISE if forms else ()
    return [*forms, *(_signature(version, name) for name in names if name not in hidden)]


def _signature(version: Version, name: str) -> dict[str, Any]:
    example = version.examples.get(name, {"doc": "", "inputs": {}})
    sides, bounds = version.signatures[name], _bounds(version, name)
    # In the order of the example, which is that of the author; metadata has none.
    order = [key for key in dict.fromkeys([*example["inputs"], *sides["inputs"]]) if key in sides["inputs"]]
    return {
        "name": name,
        "title": name,
        "doc": example["doc"],
        "inputs": [_input(key, sides["inputs"][key], bounds.get(key, {})) for key in order],
        "outputs": [_tensor(key, *spec) for key, spec in sides["outputs"].items()],
        "example": example_of(version, name, LONGEST_EXAMPLE),
    }


def _tensor(name: str, dtype: str, shape: tuple[int | None, ...] | None) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape}


def _input(name: str, spec: tuple, bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an input with its bounds, as data and in words."""
    low, high = bounds.get("values", (-math.inf, math.inf))
    # JSON has no infinities.
    values = [number if math.isfinite(number) else None for number in (low, high)]
    sizes = {name: bounds.get(name) for name in ("max_bytes", "max_size")}
    return {**_tensor(name, *spec), "values": values, **sizes, "limits": text_of(bounds, spec[0])}


def _bounds(version: Version, signature: str) -> dict[str, Mapping[str, Any]]:
    """Returns the bounds of a signature's inputs by name, as the card has them; empty if there is none."""
    return bounds_of(version.card["signatures"].get(signature, {})) if version.card else {}


def _stop_bounds(version: Version) -> dict[str, Any]:
    return {**_STOP_BOUNDS, **_bounds(version, "generate").get("stop", {})}


def _check_stop(stop: object, bounds: Mapping[str, Any]) -> None:
    if not isinstance(stop, list):
        return  # `TextStream` says what is wrong
    longest = max((len(text.encode(errors="replace")) for text in stop if isinstance(text, str)), default=0)
    if len(stop) > bounds["max_size"] or longest > bounds["max_bytes"]:
        raise RequestError(
            StatusCode.INVALID_ARGUMENT,
            f"`stop` must have at most {bounds['max_size']} strings of at most {bounds['max_bytes']} bytes. "
            f"Received: {len(stop)} strings, the longest of {longest} bytes",
        )


def _stream(version: Version) -> dict[str, Any]:
    """Returns the form of a text that is written token by token, as if it were a signature."""
    inputs = [version.examples.get(name, {"inputs": {}})["inputs"] for name in ("generate", "prefill")]
    prompt = next((example["prompt"][:1] for example in inputs if "prompt" in example), [""])
    # `Sampling` takes every `temperature` from 0, beyond the bound of `generate` too.
    names = ("prompt", "length", "top_k", "top_p")
    bounds = {key: value for key, value in _bounds(version, "generate").items() if key in names}
    bounds["stop"] = _stop_bounds(version)
    _, most = bounds.get("length", {}).get("values", (1, 200))
    example = {"prompt": prompt, "length": [min(200, most)], "temperature": [0.8], "top_k": [0], "top_p": [0.95]}
    example |= {"seed": [0], "stop": [[]]}
    specs: dict[str, tuple[str, tuple[None, ...]]] = {
        "prompt": ("string", (None,)),
        "length": ("int64", (None,)),
        "temperature": ("float32", (None,)),
        "top_k": ("int64", (None,)),
        "top_p": ("float32", (None,)),
        "seed": ("int64", (None,)),
        "stop": ("string", (None, None)),
    }
    return {
        "name": "stream",
        "title": "write",
        "doc": "Continues the prompt, and shows each token as soon as the model has made it.",
        "stream": True,
        "inputs": [_input(key, spec, bounds.get(key, {})) for key, spec in specs.items()],
        "outputs": [_tensor("text", "string", (None,))],
        "example": example,
    }


def _options(body: bytes) -> dict[str, Any]:
    try:
        return {name: value for name, (value,) in json.loads(body)["inputs"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RequestError(
            StatusCode.INVALID_ARGUMENT, f"The body must have one row of `inputs` ({type(error).__name__}: {error})"
        ) from error


async def _events(engine: Engine, model: str, body: bytes) -> AsyncIterator[str]:
    """Yields a line of JSON for each piece of the text, and one for an error."""
    try:
        with engine.call("page") as call, engine.version(call, model) as version:
            options = _options(body)
            _check_stop(options.get("stop"), _stop_bounds(version))
            async for text in streaming.stream(engine, call, version, options):
                yield json.dumps({"text": text}) + "\n"
    except RequestError as error:
        yield json.dumps({"error": error.message}) + "\n"
    except Exception as error:  # the answer has begun, so its status can no longer tell
        yield json.dumps({"error": unexpected(error, f"stream of {model}").message}) + "\n"


def _file(path: Path, headers: Mapping[str, str] = _HEADERS) -> Response:
    if path.suffix not in _TYPES or not path.is_file():
        raise RequestError(StatusCode.NOT_FOUND, f"There is no {path.name}")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)
