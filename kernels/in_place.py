"""Caches that plain TensorFlow updates in place, in graphs that nothing but a decoding loop reads."""

import contextlib
import threading

import tensorflow as tf


class _Scope(threading.local):
    allowed = False
    active = False


_scope = _Scope()


@contextlib.contextmanager
def allow_updates_in_place():
    """Context manager under which decoding loops that are traced may update their caches in place.

    TensorFlow has one op that writes into its input, `InplaceUpdate`, and `tensor_scatter_nd_update` copies its input:
    the whole cache for each token. XLA has no such op, so the scope is for graphs that are not compiled, those of
    portable exports. The native op needs no scope: TensorFlow tells it who else refers to its memory.
    """
    before, _scope.allowed = _scope.allowed, True
    try:
        yield
    finally:
        _scope.allowed = before


@contextlib.contextmanager
def updates_in_place():
    """Context manager for one step of a decoding loop, by a method that `consumes_state` marks.

    It has an effect in a graph and under `allow_updates_in_place` only.
    """
    before, _scope.active = _scope.active, is_allowed()
    try:
        yield
    finally:
        _scope.active = before


def consumes_state(advance):
    """Marks the method `advance` of a model, which promises to read a state only once, and to get it from its `start`,
    for the same rows and for no more steps than fit into its capacity.

    `ikelos.kernels.cached_attention` therefore does not check sizes there that are unknown at trace time.

    A subclass with another `advance` does not inherit the mark.
    """
    advance.consumes_state = True
    return advance


def is_active():
    """Returns whether a cache may be updated in place here."""
    return _scope.active


def is_allowed():
    """Returns whether this is traced for a graph that is not compiled, under `allow_updates_in_place`."""
    return _scope.allowed and not tf.executing_eagerly()


def owned(tensors):
    """Returns nested tensors in memory of their own if they may be updated in place later, otherwise as they are.

    Without a copy, the memory could be that of an input or of a constant into which TensorFlow folded a prompt.
    """
    if not is_allowed():
        return tensors
    return tf.nest.map_structure(lambda x: tf.raw_ops.DeepCopy(x=x), tensors)
