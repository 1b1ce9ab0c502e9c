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
    """Context manager for one step of a decoding loop that does not use the state before the step any more.

    The model must have made the state for the rows of this loop and for as many steps: sizes that are unknown at trace
    time are not checked again. It has an effect in a graph and under `allow_updates_in_place` only.
    """
    before, _scope.active = _scope.active, _scope.allowed and not tf.executing_eagerly()
    try:
        yield
    finally:
        _scope.active = before


def consumes_state(advance):
    """Marks the method `advance` of a model, which promises to read a state only once.

    A subclass with another `advance` does not inherit the mark.
    """
    advance.consumes_state = True
    return advance


def is_active():
    """Returns whether a cache may be updated in place here."""
    return _scope.active


def owned(tensors):
    """Returns nested tensors in memory of their own if they may be updated in place later, otherwise as they are.

    Without a copy, the memory could be that of an input or of a constant into which TensorFlow folded a prompt.
    """
    if not _scope.allowed or tf.executing_eagerly():
        return tensors
    return tf.nest.map_structure(lambda x: tf.raw_ops.DeepCopy(x=x), tensors)
