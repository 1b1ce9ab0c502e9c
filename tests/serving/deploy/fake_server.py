"""A server that follows `models.config` by the rules of TensorFlow Serving's ServerCore::ReloadConfig, without models.

It reads the file with the official proto, first moves labels (to available versions, or new labels to any version), and
only if none was refused loads and unloads versions. Each request is preceded by one look at the file, so that nothing
depends on time.
"""

import contextlib
import http.server
import json
import threading

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2


class FakeServer:
    """Attributes:
    refused: The reasons for which a `models.config` was refused.
    broken: Versions that fail to load.
    """

    def __init__(self, config, on_disk):
        self.config, self.on_disk = config, on_disk
        self.states, self.labels, self.refused, self.broken = {}, {}, [], set()
        self.look()

    def look(self):
        config = text_format.Parse(self.config.read_text(), model_server_config_pb2.ModelServerConfig())
        models = config.model_config_list.config
        labels = {}
        for model in models:
            for label, version in model.version_labels.items():
                old = self.labels.get((model.name, label))
                if old not in (None, version) and self.states.get((model.name, version)) != "AVAILABLE":
                    self.refused.append(f"{label} to {version}")
                    return
                labels[model.name, label] = version
        self.labels = labels
        for model in models:
            policy = model.model_version_policy
            wanted = set(policy.specific.versions) or set(sorted(self.on_disk)[-policy.latest.num_versions :])
            for version in wanted & self.on_disk:
                loading = self.states.get((model.name, version)) in ("LOADING", "AVAILABLE")
                state = "AVAILABLE" if loading else "LOADING"
                self.states[model.name, version] = "END" if version in self.broken else state
            for name, version in list(self.states):
                if name == model.name and version not in wanted:
                    self.states[name, version] = "END"

    def answer(self, path):
        """Returns the status and the body for a path of the REST API."""
        self.look()
        _, _, _, model, *rest = path.split("/")
        versions = {version: state for (name, version), state in self.states.items() if name == model}
        if rest[2:] == ["metadata"]:
            version = self.labels.get((model, rest[1]))
            if version is None:
                return 400, {"error": f"Unrecognized servable version label: {rest[1]}"}
            if versions.get(version) != "AVAILABLE":
                return 404, {"error": f"Servable not found for request: Specific({model}, {version})"}
            return 200, {"model_spec": {"name": model, "signature_name": "", "version": str(version)}, "metadata": {}}
        if not versions:
            return 404, {"error": f"Could not find any versions of model {model}"}
        status = {"error_code": "OK", "error_message": ""}
        return 200, {
            "model_version_status": [
                {"version": str(version), "state": state, "status": status} for version, state in versions.items()
            ]
        }

    @contextlib.contextmanager
    def listening(self):
        """Context manager that yields the address at which the server answers."""
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = fake.answer(self.path)
                self.send_response(status)
                self.end_headers()
                # With the white space of TensorFlow Serving, which `ready.sh` reads.
                self.wfile.write(json.dumps(body, indent=1).encode())

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
