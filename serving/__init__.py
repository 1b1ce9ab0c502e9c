"""Export of trained models to TensorFlow Serving, with a check that a stock server can run them.

Importing this package does not import TensorFlow.
"""

from ikelos.serving.bounds import Bound
from ikelos.serving.capi import ExportError
from ikelos.serving.card import Card, read_card, read_provenance
from ikelos.serving.compare import CheckFailed
from ikelos.serving.export import export, export_steps
from ikelos.serving.incoming import newest
from ikelos.serving.keras_signature import keras_signature
from ikelos.serving.signature import Signature
from ikelos.serving.stock import StockError, StockModel
from ikelos.serving.weights import stored_weights

__all__ = [
    "Bound",
    "Card",
    "CheckFailed",
    "ExportError",
    "Signature",
    "StockError",
    "StockModel",
    "export",
    "export_steps",
    "keras_signature",
    "newest",
    "read_card",
    "read_provenance",
    "stock_check",
    "stored_weights",
]


def __getattr__(name):
    # Imported late, because `python -m ikelos.serving.check` would warn if the package had imported it already.
    if name == "stock_check":
        from ikelos.serving import check

        return check.stock_check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
