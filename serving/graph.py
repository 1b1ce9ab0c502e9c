"""Facts about graphs that decide which server can load them."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from ikelos.serving.capi import StockError

if TYPE_CHECKING:
    import tensorflow as tf

PORTABLE, NATIVE = "portable", "native"
"""The flavours of an export: a stock server has the ops of the one, and ours must be linked for the other."""
_OURS = "Ikelos"
"""Beginning of the names of our custom ops."""
MUST_COMPILE = (
    "a function has `jit_compile=True`, and a default TensorFlow Serving does not compile with XLA. Remove it from the "
    "model's functions"
)
"""What a user reads about a graph that `must_compile`."""
_ENTRY = b"\n\x0f_XlaMustCompile\x12\x02(\x01"
"""An entry of the map of attributes, as protobuf writes it: `_XlaMustCompile` is true."""


def native_library() -> str:
    """Returns the path of Ikelos's native library, which the flavour `native` needs.

    Raises:
        StockError: If it is not there or does not load.
    """
    # Here, because it imports TensorFlow.
    from ikelos import kernels

    status = kernels.status()
    if not status["loaded"]:
        raise StockError(f"The flavour {NATIVE} needs Ikelos's native library, which is not loaded: {status['reason']}")
    return str(status["path"])


def custom_ops(function: tf.types.experimental.ConcreteFunction) -> set[str]:
    """Returns the names of our custom ops in the graph of a function and the functions that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return {node.op for node in nodes if node.op.startswith(_OURS)}


def compiled_functions(function: tf.types.experimental.ConcreteFunction) -> list[str]:
    """Returns the names of the functions of `jit_compile=True` that a function calls."""
    graph = function.graph.as_graph_def()
    found = [called.signature.name for called in graph.library.function if called.attr["_XlaMustCompile"].b]
    return found + [node.name for node in graph.node if node.attr["_XlaMustCompile"].b]


def must_compile(version: pathlib.Path) -> bool:
    """Returns whether a SavedModel has a function of `jit_compile=True`, which a default TensorFlow Serving refuses."""
    return _ENTRY in (version / "saved_model.pb").read_bytes()
