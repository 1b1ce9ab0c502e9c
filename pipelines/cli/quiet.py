"""TensorFlow imported without what it tells everybody on every start."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from types import ModuleType

# What it writes before its log is set up, which no environment variable silences: information and warnings; and
# as errors that CUDA's library is not installed (303), or that oneDNN leaves an op to Eigen.
_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d:"
    rb"|E\d{4} .*(cuInit.*\(303\)|oneDNN supports DT_)"
)


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Holds back what C++ code writes to standard error, and passes it on at the end without the noise.

    Does nothing where the user asked for the log: with `--debug`, or TF_CPP_MIN_LOG_LEVEL below 2.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") in ("0", "1"):
        yield
        return
    # Not at the top, for the sake of `ikelos --help`: it brings numpy.
    from ikelos.serving.silence import silenced

    with silenced(lambda line: not _NOISE.match(line)):
        yield


def load_runner() -> ModuleType:
    """Imports the runner, and with it TensorFlow, in silence."""
    with muted():
        # First: it says so where Keras runs on another backend.
        import ikelos.layers  # noqa: F401
        from ikelos.pipelines import runner

        if "tensorflow" in sys.modules:
            # TensorFlow looks for a GPU when it is first asked for one, and complains if it has no driver.
            sys.modules["tensorflow"].config.list_physical_devices()
    return runner
