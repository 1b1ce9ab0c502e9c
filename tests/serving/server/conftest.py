import asyncio
import contextlib
import dataclasses
import shutil
import threading

import grpc
import httpx
import pytest
import tensorflow as tf
from tests.serving.waiting import SECONDS

from ikelos.serving.protocol import messages
from ikelos.serving.server import Settings, serve

CHECKED = [("text", tf.string), ("n", tf.int32)]


class Plain(tf.Module):
    """Model of the signatures that the tests need; `slow` computes for as long as it is told."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half_plus_three(self, x):
        return {"y": x / 2 + 3}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="steps")])
    def slow(self, steps):
        x = tf.constant(1.0)
        for _ in tf.range(tf.reduce_max(steps)):
            x = tf.sin(x) + 1.0
        return {"x": tf.fill(tf.shape(steps), x)}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="text"), tf.TensorSpec([None], tf.int32, name="n")]
    )
    def checked(self, text, n):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(n >= 0), ["n must be in [0, 9]", n])]):
            return {"text": tf.strings.join([text, tf.strings.as_string(n)]), "rows": tf.fill(tf.shape(n), tf.size(n))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def copy(self, image_bytes):
        return {"image_bytes": tf.identity(image_bytes)}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, name="words")])
    def join(self, words):
        return {"joined": tf.strings.reduce_join(words, axis=1, separator="|")}

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 9, 1], tf.uint8, name="image")])
    def invert(self, image):
        return {"image": 255 - image}


class Writer(tf.Module):
    """Language model of 20 tokens that counts up from the length of the prompt, and ends the text before 9."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="prompt")])
    def prefill(self, prompt):
        return self._outputs(tf.strings.length(prompt))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name=name) for name in ("token", "step")])
    def decode_step(self, token, step):
        return self._outputs(token + step)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name="tokens")])
    def detokenize(self, tokens):
        return {"text": tf.strings.reduce_join(tf.strings.as_string(tokens), axis=1, separator="<i>")}

    def _outputs(self, number):
        return {"logits": tf.one_hot(tf.where(number == 9, 2, number), 20), "step": tf.ones_like(number)}


def save(path):
    module = Plain()
    names = {"serving_default": module.half_plus_three, "slow": module.slow, "checked": module.checked}
    others = {name: getattr(module, name) for name in ("copy", "join", "invert")}
    tf.saved_model.save(module, str(path), signatures={**names, **others})


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """Returns the folder of a SavedModel that TensorFlow wrote, without examples; a test that changes it copies it."""
    path = tmp_path_factory.mktemp("plain") / "00000123"
    save(path)
    return path


@dataclasses.dataclass(frozen=True)
class Server:
    http: httpx.Client
    grpc: grpc.Channel
    grpc_port: int

    def call(self, method, request, service="tensorflow.serving.PredictionService", timeout=60):
        _, response = messages.METHODS[service][method]
        serializer = None if isinstance(request, bytes) else type(request).SerializeToString
        send = self.grpc.unary_unary(
            f"/{service}/{method}", request_serializer=serializer, response_deserializer=response.FromString
        )
        return send(request, timeout=timeout)


@pytest.fixture(scope="session")
def serving():
    """Returns a context manager that serves a folder, with settings, and yields a `Server`."""
    return _serving


@contextlib.contextmanager
def _serving(path, **options):
    """Context manager that serves a folder in another thread, and yields a `Server`."""
    settings = Settings(path=path, **{"rest_port": 0, "grpc_port": 0, "poll": 0.05, "grace": 20.0} | options)
    started, found = threading.Event(), {}

    async def run():
        found["stop"], found["loop"] = asyncio.Event(), asyncio.get_running_loop()

        def ready(rest, remote, versions):
            found["ports"] = rest, remote
            started.set()

        await serve(settings, ready, found["stop"])

    def work():
        try:
            asyncio.run(run())
        except BaseException as error:
            found["error"] = error
        finally:
            started.set()

    thread = threading.Thread(target=work, daemon=True)  # one that does not end would hold up the process
    thread.start()
    assert started.wait(SECONDS)
    if "ports" not in found:
        thread.join()
        raise found["error"]
    rest, remote = found["ports"]
    try:
        with (
            httpx.Client(base_url=f"http://localhost:{rest}", timeout=60) as http,
            grpc.insecure_channel(f"localhost:{remote}") as channel,
        ):
            yield Server(http, channel, remote)
    finally:
        found["loop"].call_soon_threadsafe(found["stop"].set)
        thread.join(SECONDS)
        assert not thread.is_alive(), "the server does not stop"
        if "error" in found:
            raise found["error"]


@pytest.fixture(scope="session")
def models(plain, version, tmp_path_factory):
    """Returns a folder of the models `plain`, version 123, `words`, an export with examples, and `writer`."""
    folder = tmp_path_factory.mktemp("served")
    writer = Writer()
    signatures = {name: getattr(writer, name) for name in ("prefill", "decode_step", "detokenize")}
    tf.saved_model.save(writer, str(folder / "writer" / "1"), signatures=signatures)
    shutil.copytree(plain, folder / "plain" / "00000123")
    shutil.copytree(version, folder / "words" / "1")
    return folder


@pytest.fixture(scope="session")
def server(models):
    """Returns a server of `models` with small limits, which tests must leave as it is."""
    with _serving(models, max_bytes=2**20, max_rows=100) as server:
        yield server
