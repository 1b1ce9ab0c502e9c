"""What a running server says about its models, by TensorFlow Serving's REST API."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

_AVAILABLE = "AVAILABLE"
_TIMEOUT = 10.0
_UNKNOWN = (400, 404)
"""Statuses with which a server answers for a model or a label that it does not have."""
# Without the proxies of the environment, which are meant for other networks than that of the server.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RunningServer:
    """Server that answers at an address.

    Args:
        address: `HOST:PORT` of the server's REST API.
    """

    def __init__(self, address: str):
        self.address = address

    def states(self, model: str) -> dict[int, str]:
        """Returns the state of each version that the server knows, `AVAILABLE` or another with its reason.

        Raises:
            ConnectionError: If the server does not answer.
        """
        answer = self._get(f"/v1/models/{model}", "model_version_status") or []
        return {int(status["version"]): _state(status) for status in answer}

    def labelled(self, model: str, label: str) -> int | None:
        """Returns the version that answers requests with a label, or None.

        The metadata tell it. TensorFlow Serving's status of a label is that of all versions.

        Raises:
            ConnectionError: If the server does not answer.
        """
        answer = self._get(f"/v1/models/{model}/labels/{label}/metadata", "model_spec")
        return int(answer["version"]) if answer else None

    def missing(self, model: str, labels: Mapping[str, int | None], versions: Iterable[int]) -> list[str]:
        """Returns what keeps the server from having labels at their versions, None for no label, and versions loaded.

        Raises:
            ConnectionError: If the server does not answer.
        """
        found = {label: self.labelled(model, label) for label in labels}
        states = self.states(model)
        return [
            f"the label {label} at {found[label]}, not at {version}"
            for label, version in labels.items()
            if found[label] != version
        ] + [
            f"version {version} {states.get(version, 'unknown')}"
            for version in sorted(versions)
            if states.get(version) != _AVAILABLE
        ]

    def _get(self, path: str, key: str) -> Any:
        try:
            with _OPENER.open(f"http://{self.address}{path}", timeout=_TIMEOUT) as answer:
                return json.load(answer)[key]
        except urllib.error.HTTPError as error:
            with error:
                if error.code in _UNKNOWN:
                    return None
                raise ConnectionError(f"{self.address} answers {path} with status {error.code}") from None
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:  # the last for a port of gRPC
            raise ConnectionError(f"no TensorFlow Serving answers at {self.address}: {error}") from None


def _state(status: dict[str, Any]) -> str:
    reason = status.get("status", {}).get("error_message", "")
    return f"{status['state']}: {reason}" if reason else status["state"]
