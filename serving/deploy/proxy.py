"""The configuration of nginx in front of a server's REST API, which has neither TLS nor a share for canaries itself."""

from collections.abc import Mapping
from typing import Any

from ikelos.serving.deploy import templates

LABELS = "proxy/labels.conf"
"""Path in a rendered folder of the file that says which version answers a request that names none."""


def labels(shares: Mapping[str, int]) -> str:
    """Returns the text of `labels.conf`.

    Args:
        shares: For each model with labels, the percent of requests that go to `canary`; the others go to `stable`.
    """
    return templates.fill(LABELS, shares=shares)


def nginx(**values: Any) -> str:
    """Returns the text of `nginx.conf`."""
    return templates.fill("proxy/nginx.conf", **values)
