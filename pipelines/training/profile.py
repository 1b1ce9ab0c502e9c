"""Profiles of a few training steps: which ops take their time, and files for TensorBoard."""

import collections
import re
import shutil
import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from ikelos.pipelines.training.history import Record

STEPS = (8, 10)
"""First and last step that are profiled unless the recipe names others. The first steps also trace the graph."""

NATIVE = "Ikelos"
"""Prefix of the names of the native ops."""

_KERNEL = re.compile(r"[^:]+:(\w+)")
"""An event of the profiler that is the run of an op: the op's name in the graph and its type."""


class Profile:
    """The profiler of a stage: before and after each step it starts, or stops and returns a record.

    The profile is kept for TensorBoard only if the recipe asks for it: the files have several megabytes. There is no
    record of a step that XLA compiles, because the ops in it are not in the profile.
    """

    def __init__(self, folder: Path, steps: tuple[int, int] | None, jit_compile: bool):
        """Sets the steps to profile, the first and the last; `folder` is TensorBoard's folder of the stage."""
        self._folder = folder if steps else None
        self._first, self._last = steps or STEPS
        self._jit_compile = jit_compile
        self._running: Path | None = None

    def before(self, step: int) -> None:
        """Starts the profiler if the step is the first to profile, or the first one after a resumption among them."""
        if self._running or not self._first <= step <= self._last or (self._jit_compile and not self._folder):
            return
        folder = self._folder or Path(tempfile.mkdtemp())
        try:
            tf.profiler.experimental.start(str(folder), tf.profiler.experimental.ProfilerOptions(python_tracer_level=0))
        except tf.errors.AlreadyExistsError:  # the user's own profiler, of which there can be only one
            return
        self._running = folder

    def after(self, step: int) -> Record | None:
        """Stops the profiler after the last step and returns the shares of the native ops as figures of a record."""
        if not self._running or step < self._last:
            return None
        tf.profiler.experimental.stop()
        shares = native_shares(max(self._running.glob("plugins/profile/*/*.xplane.pb")))
        self._end()
        return None if self._jit_compile else {"event": "profile", "step": step, "native_ops": shares}

    def close(self) -> None:
        """Stops the profiler if it is running."""
        if self._running:
            tf.profiler.experimental.stop(save=self._folder is not None)
            self._end()

    def _end(self) -> None:
        """Removes the files of a profile that is not kept."""
        if self._running and self._folder is None:
            shutil.rmtree(self._running)
        self._running = None


def native_shares(path: Path) -> dict[str, float]:
    """Returns the native ops' shares of the time of all ops in a profile, by the type of the op.

    The time of an op is that of the thread that runs it, without the ops that it runs there itself.
    """
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    times: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        types = {key: _type(value.name) for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            _add_own_times(line.events, types, times)
    whole = sum(times.values())
    native = {name: time for name, time in times.most_common() if name.startswith(NATIVE)}
    return {name: time / whole for name, time in native.items()}


def _add_own_times(events, types, times):
    """Adds the events of a thread to `times` by the type of op."""
    # An event contains those after it in this order until its end.
    around: list[tuple[int, str]] = []
    for start, negative, name in sorted(
        (event.offset_ps, -event.duration_ps, name) for event in events if (name := types[event.metadata_id])
    ):
        while around and around[-1][0] <= start:
            around.pop()
        if around:
            times[around[-1][1]] += negative
        times[name] -= negative
        around.append((start - negative, name))


def _type(event: str) -> str:
    """Returns the type of the op whose run an event is, or an empty text."""
    match = _KERNEL.fullmatch(event)
    return match.group(1) if match else ""
