"""Which version nginx lets answer a REST request that names none, as TensorFlow Serving gives canaries no share."""

from collections.abc import Mapping

from ikelos.serving.deploy import templates

LABELS = "proxy/labels.conf"
"""Path in a rendered folder of the file that says which version answers a request that names none."""


def labels(shares: Mapping[str, int]) -> str:
    """Returns the text of `labels.conf`.

    Args:
        shares: For each model with labels, the percent of requests that go to `canary`; the others go to `stable`.
    """
    return templates.fill(LABELS, shares=shares)
