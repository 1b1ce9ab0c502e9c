"""A small model behind a gRPC and an HTTP server that answer as TensorFlow Serving does, and fail on command."""

import concurrent.futures
import contextlib
import http.server
import json
import re
import threading
import time

import grpc
import numpy as np

from ikelos.serving.protocol import messages, rest
from ikelos.serving.protocol.metadata import read_signatures, write_metadata, write_status
from ikelos.serving.protocol.tensors import from_tensor_proto, to_shape_proto, to_tensor_proto
from ikelos.serving.values import DTYPES

SIGNATURES = {
    "serving_default": {"inputs": {"x": ("float32", (None,))}, "outputs": {"y": ("float32", (None,))}},
    "echo": {
        "inputs": {"text": ("string", (None,)), "image_bytes": ("string", (None,)), "length": ("int32", (None,))},
        "outputs": {"text": ("string", (None,)), "image_bytes": ("string", (None,)), "length": ("int32", (None,))},
    },
    "prefill": {
        "inputs": {"prompt": ("string", (None,))},
        "outputs": {"logits": ("float32", (None, 260)), "position": ("int32", (None,))},
    },
    "decode_step": {
        "inputs": {"token": ("int32", (None,)), "position": ("int32", (None,))},
        "outputs": {"logits": ("float32", (None, 260)), "position": ("int32", (None,))},
    },
    "detokenize": {"inputs": {"tokens": ("int32", (None, None))}, "outputs": {"text": ("string", (None,))}},
}
FIRST_BYTE, END = 4, 2  # as in a vocabulary of bytes


class FaultError(Exception):
    """An error that the server reports."""

    def __init__(self, code, message, pushback=None):
        super().__init__(message)
        self.code, self.message, self.pushback = code, message, pushback


class Model:
    """The model, and what is to happen to the next calls.

    Attributes:
        script: Text that the language model writes, as bytes.
        faults: Errors of the next calls.
        answering: Event that each answer waits for.
        calls: Names of the calls so far.
        pause: Seconds after each byte of an answer over HTTP.
        cuts: Number of answers over HTTP that end after the headers.
        requests: Inputs of the predictions so far.
        versions: For each call that did not fail, the version that it named, or 0.
        states: `{version: (state, code, message)}`.
        labels: `{label: version}`.
    """

    def __init__(self):
        self.script = b""
        self.faults = []
        self.answering = threading.Event()
        self.answering.set()
        self.calls = []
        self.pause = self.cuts = 0
        self.requests = []
        self.versions = []
        self.states = {2: ("AVAILABLE", "OK", ""), 1: ("END", "OK", "")}
        self.labels = {"stable": 2}

    def begin(self, call, spec):
        self.calls.append(call)
        self.answering.wait()
        if self.faults:
            raise self.faults.pop(0)
        if spec.name != "toy":
            raise FaultError("NOT_FOUND", f"Servable not found for request: Latest({spec.name})")
        if spec.version_label and spec.version_label not in self.labels:
            raise FaultError("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}")
        version = self.labels[spec.version_label] if spec.version_label else spec.version.value
        if version and version not in self.states:
            raise FaultError("NOT_FOUND", f"Servable not found for request: Specific({spec.name}, {version})")
        self.versions.append(version)
        return version or max(self.states)

    def predict(self, signature, inputs):
        self.requests.append(inputs)
        if signature not in SIGNATURES:
            raise FaultError("INVALID_ARGUMENT", f'Serving signature name: "{signature}" not found in signature def')
        return getattr(self, signature)(**inputs)

    def serving_default(self, x):
        return {"y": x * np.float32(0.5) + np.float32(2)}

    def echo(self, **inputs):
        return inputs

    def prefill(self, prompt):
        return self._logits(np.zeros(len(prompt), np.int32))

    def decode_step(self, token, position):
        written = [self.script[at] + FIRST_BYTE for at in position]
        if token.tolist() != written:
            raise FaultError("INVALID_ARGUMENT", f"expected the tokens {written}, got {token.tolist()}")
        return self._logits(position + np.int32(1))

    def detokenize(self, tokens):
        texts = np.empty(len(tokens), object)
        texts[:] = [
            bytes(token - FIRST_BYTE for token in row if token >= FIRST_BYTE).decode(errors="replace").encode()
            for row in tokens.tolist()
        ]
        return {"text": texts}

    def _logits(self, position):
        logits = np.zeros((len(position), 260), np.float32)
        for row, at in enumerate(position):
            logits[row, self.script[at] + FIRST_BYTE if at < len(self.script) else END] = 5
        return {"logits": logits, "position": position}


def metadata(spec, version):
    definitions = messages.SignatureDefMap()
    for name, sides in SIGNATURES.items():
        for side, tensors in sides.items():
            for key, (dtype, shape) in tensors.items():
                info = getattr(definitions.signature_def[name], side)[key]
                info.dtype = DTYPES[dtype][0]
                info.tensor_shape.CopyFrom(to_shape_proto(shape))
                info.name = f"{key}:0"
    assert read_signatures(definitions.signature_def) == {
        name: {side: dict(sorted(tensors.items())) for side, tensors in sides.items()}
        for name, sides in SIGNATURES.items()
    }
    response = messages.GetModelMetadataResponse(model_spec=messages.ModelSpec(name=spec.name))
    response.model_spec.version.value = version
    response.metadata["signature_def"].Pack(definitions)
    return response


def status(model, version):
    response = messages.GetModelStatusResponse()
    for number, (state, code, message) in model.states.items():
        if version in (None, number):
            response.model_version_status.add(
                version=number,
                state=messages.ModelVersionStatus.State.Value(state),
                status={"error_code": messages.Code.Value(code), "error_message": message},
            )
    return response


def serve_grpc(model, credentials=None):
    """Starts a gRPC server; returns it and its port."""

    def answering(call, answer):
        def handle(request, context):
            try:
                return answer(request, model.begin(call, request.model_spec))
            except FaultError as fault:
                if fault.pushback is not None:
                    context.set_trailing_metadata([("grpc-retry-pushback-ms", fault.pushback)])
                context.abort(grpc.StatusCode[fault.code], fault.message)
            except ValueError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

        return handle

    def predict(request, version):
        inputs = {name: from_tensor_proto(name, tensor) for name, tensor in request.inputs.items()}
        outputs = model.predict(request.model_spec.signature_name or "serving_default", inputs)
        response = messages.PredictResponse(model_spec=request.model_spec)
        response.model_spec.version.value = version
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(to_tensor_proto(array))
        return response

    answers = {
        "Predict": predict,
        "GetModelMetadata": lambda request, version: metadata(request.model_spec, version),
        "GetModelStatus": lambda request, version: status(
            model, version if request.model_spec.HasField("version") else None
        ),
    }
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 64 * 2**20)]
    )
    for service, methods in messages.METHODS.items():
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                answering(name, answers[name]),
                request_deserializer=request.FromString,
                response_serializer=response.SerializeToString,
            )
            for name, (request, response) in methods.items()
            if name in answers
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, port


_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(/metadata|:predict)?")


def serve_http(model, context=None):
    """Starts an HTTP server, with an `ssl.SSLContext` if it is to be encrypted; returns it and its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each answer waits 40 ms for the acknowledgement of its headers

        def setup(self):
            super().setup()
            self.server.connections += 1

        def do_GET(self):
            self._answer()

        def do_POST(self):
            self._answer()

        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            name, version, label, verb = _PATH.fullmatch(self.path).groups()
            spec = messages.ModelSpec(name=name, version_label=label) if label else messages.ModelSpec(name=name)
            if version:
                spec.version.value = int(version)
            call = {":predict": "Predict", "/metadata": "GetModelMetadata", None: "GetModelStatus"}[verb]
            try:
                chosen = model.begin(call, spec)
                if verb == ":predict":
                    request = rest.read_predict(body)
                    if request.signature not in SIGNATURES:
                        raise FaultError("INVALID_ARGUMENT", f'Serving signature name: "{request.signature}" not found')
                    inputs = request.arrays(SIGNATURES[request.signature]["inputs"])
                    answer = rest.write_predictions(model.predict(request.signature, inputs), request.by_rows)
                elif verb == "/metadata":
                    answer = write_metadata(metadata(spec, chosen))
                else:
                    answer = write_status(status(model, chosen if version else None))
                self._send(200, answer)
            except FaultError as fault:
                self._send(rest.STATUS[fault.code], json.dumps({"error": fault.message}).encode(), fault.pushback)
            except ValueError as error:
                self._send(400, rest.write_error(str(error)))

        def _send(self, code, body, retry_after=None):
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if retry_after is not None:
                self.send_header("Retry-After", retry_after)
            self.end_headers()
            if model.cuts:
                model.cuts -= 1
                self.close_connection = True
            elif model.pause:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(model.pause)
            else:
                self.wfile.write(body)

        def handle_one_request(self):
            with contextlib.suppress(ConnectionError):  # the client has gone
                super().handle_one_request()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.connections = 0
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server, server.server_address[1]
