"""Writes a text token by token, with a model that has the signatures `prefill`, `decode_step` and `detokenize`."""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from ikelos.serving.server.engine import Call, Engine
from ikelos.serving.server.versions import Version

NEEDED = ("prefill", "decode_step", "detokenize")
_END = 2
"""The token that ends a text."""
_LONGEST = 4096

Run = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class Options:
    """How to write a text.

    Attributes:
        prompt: What the text begins with.
        length: Most tokens to write, 1 to 4096.
        temperature: As of `generate`, at least 0; 0 takes the likeliest token.
        top_k: The number of the likeliest tokens to draw from; 0 draws from all.
        top_p: The probability that the likeliest tokens to draw from must reach together, in (0, 1].
        seed: Seed of the random numbers, at least 0.

    Raises:
        ValueError: If an option has another value.
    """

    prompt: str = ""
    length: int = 200
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self):
        for name, valid, wanted in (
            ("prompt", isinstance(self.prompt, str), "a text"),
            ("length", _is_int(self.length) and 1 <= self.length <= _LONGEST, f"an integer from 1 to {_LONGEST}"),
            ("temperature", _is_number(self.temperature) and 0 <= self.temperature < np.inf, "a number of at least 0"),
            ("top_k", _is_int(self.top_k) and self.top_k >= 0, "an integer of at least 0"),
            ("top_p", _is_number(self.top_p) and 0 < self.top_p <= 1, "a number above 0 and at most 1"),
            ("seed", _is_int(self.seed) and self.seed >= 0, "an integer of at least 0"),
        ):
            if not valid:
                raise ValueError(f"`{name}` must be {wanted}. Received: {name}={getattr(self, name)!r}")


def can_stream(signatures: Mapping[str, Mapping[str, Mapping[str, tuple]]]) -> bool:
    """Returns whether a model can write token by token, by its signatures as `StockModel` has them."""
    if not all(name in signatures for name in NEEDED):
        return False
    state = set(signatures["prefill"]["outputs"]) - {"logits"}
    return set(signatures["decode_step"]["inputs"]) == {"token", *state}


async def stream(engine: Engine, call: Call, version: Version, options: Options) -> AsyncIterator[tuple[str, int]]:
    """Yields the text so far, without the prompt, and its number of tokens, after each token.

    Raises:
        RequestError: As in `Engine.predict`, such as when the time of the request is over.
    """
    random = np.random.default_rng(options.seed)
    state = await engine.predict(call, version, "prefill", {"prompt": [options.prompt]})
    tokens: list[int] = []
    for _ in range(options.length):
        token = choose(state.pop("logits")[0], options, random.random())
        if token == _END:
            return
        tokens.append(token)
        written = await engine.predict(call, version, "detokenize", {"tokens": [tokens]})
        yield written["text"][0].decode(errors="replace"), len(tokens)
        if len(tokens) < options.length:
            state = await engine.predict(call, version, "decode_step", {"token": [token], **state})


def choose(logits: np.ndarray, options: Options, uniform: float) -> int:
    """Returns the next token, drawn as `ikelos.layers.decoding.sample` does.

    Args:
        logits: float32 `[V]`.
        options: The temperature, `top_k` and `top_p`.
        uniform: Random number in [0, 1).
    """
    tokens = np.argsort(-logits, kind="stable")  # of equally likely tokens, the first
    if options.temperature < np.finfo(np.float32).tiny:
        return int(tokens[0])
    ordered = logits[tokens].astype(np.float64)
    probabilities = np.exp((ordered - ordered[0]) / options.temperature)
    if options.top_k:
        probabilities[options.top_k :] = 0
    probabilities /= probabilities.sum()
    probabilities[np.cumsum(probabilities) - probabilities >= options.top_p] = 0
    reached = np.cumsum(probabilities)
    drawn = np.argmax((reached > uniform * reached[-1]) & (probabilities > 0))
    return int(tokens[drawn])


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
