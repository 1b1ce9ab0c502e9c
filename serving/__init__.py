"""Export of trained models to TensorFlow Serving, with a check that a stock server can run them.

Importing this package does not import TensorFlow.
"""

from ikelos.serving.export import export, export_steps
from ikelos.serving.incoming import newest
from ikelos.serving.provenance import read_provenance
from ikelos.serving.signature import Signature
from ikelos.serving.stock import StockError, StockModel

__all__ = [
    "CheckFailed",
    "Signature",
    "StockError",
    "StockModel",
    "export",
    "export_steps",
    "newest",
    "read_provenance",
    "stock_check",
]


def __getattr__(name):
    # Imported late, because `python -m ikelos.serving.check` would warn if the package had imported it already.
    if name in ("CheckFailed", "stock_check"):
        from ikelos.serving import check

        return getattr(check, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
