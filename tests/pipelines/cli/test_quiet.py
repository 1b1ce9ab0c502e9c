import os
import signal
import subprocess
import sys

import pytest

NOISE = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1795404596.337350   20261 port.cc:153] oneDNN custom operations are on.\n"
    b"W0000 00:00:1795404596.337350   20261 x.cc:1] something\n"
    b"To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.\n"
    b"normalizer.cc(51) LOG(INFO) precompiled_charsmap is empty. use identity normalization.\n"
    b"2026-11-28 13:15:39.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.\n"
    b"E0000 00:00:1795404616.864234   20261 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)\n"
    b"E0000 00:00:1795404616.864234   20261 cuda_dnn.cc:8310] Unable to register cuDNN factory: one is there\n"
    b"E0000 00:00:1795405302.223291   27550 util.cc:131] oneDNN supports DT_INT64 only on platforms with AVX-512.\n"
    b"E0000 00:00:1795876448.047282   15876 node_def_util.cc:682] NodeDef mentions attribute use_unbounded_threadpool "
    b"which is not in the op definition: Op<name=MapDataset; signature=input_dataset:variant>\n"
    b"E0000 00:00:1795876448.047282   15876 jpeg_mem.cc:331] Premature end of JPEG data. Stopped at line 13/48\n"
)
NEWS = (
    b"E0000 00:00:1795404616.864234   20261 x.cc:1] the file is broken\nand so on \xff\n"
    b"F0000 00:00:1795404616.864234   20261 tensor.cc:852] Check failed: dtype() == expected_dtype (1 vs. 3)\n"
)
BEGIN = """
import os, signal, subprocess, sys, threading, warnings
from ikelos.pipelines.cli.quiet import filtered
noise, news = map(os.fsencode, sys.argv[1:])
"""


def err_of(script, **options):
    """Runs a script in a process and returns its exit status, standard error and standard output."""
    command = [sys.executable, "-c", BEGIN + script, os.fsdecode(NOISE), os.fsdecode(NEWS)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, **options)
    return done.returncode, done.stderr, done.stdout


def test_noise_is_dropped_and_all_else_passes_at_once_from_children_too():
    status, err, out = err_of("""
with filtered():
    os.write(2, noise + news)
    print("python", file=sys.stderr)
    subprocess.run([sys.executable, "-c", "import os, sys; os.write(2, os.fsencode(sys.argv[1]))", sys.argv[1]])
    print("output")
os.write(2, b"later\\n" + noise)
""")
    assert (status, out) == (0, b"output\n")
    assert err == NEWS + b"python\nlater\n" + NOISE


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("raise ValueError('odd')", 1),
        # The signal is ignored if the tests run in the background.
        (
            "signal.signal(signal.SIGINT, signal.default_int_handler); os.killpg(os.getpgid(0), signal.SIGINT)",
            -signal.SIGINT,
        ),
    ],
)
def test_the_last_words_of_a_process_pass_however_it_ends(end, status):
    found, err, _ = err_of(f"with filtered():\n    os.write(2, noise + news)\n    {end}\n", start_new_session=True)
    assert found == status
    assert err.startswith(NEWS)


def test_a_warning_of_python_is_a_line():
    script = """
with filtered():
    warnings.warn("The checkpoint\\n  \\x1b is damaged.")
warnings.warn("plain")
"""
    _, err, _ = err_of(script)
    lines = err.decode().splitlines()
    assert lines[0] == r"Warning: The checkpoint \x1b is damaged."
    assert lines[1].endswith("UserWarning: plain")


def test_who_reads_the_output_need_not_wait_for_the_filter():
    """Checks that the filter does not hold standard output open: `head` and others wait for its end."""
    script = "with filtered():\n    print('said', flush=True)\n    os.close(1)\n    sys.stdin.read()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + script, "", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.read() == b"said\n"
    process.stdin.close()
    assert process.wait(60) in (0, 120)


@pytest.mark.parametrize("level", ["0", "1"])
def test_who_asks_for_the_log_gets_it(ikelos_process, monkeypatch, level):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    say = f"import os; os.write(2, {NOISE + NEWS!r})"
    # Within `main`, so that the last imports are those of the command.
    result = ikelos_process(
        "list", before=f"import ikelos.pipelines.cli.app as app; app.execute = lambda a: exec({say!r})"
    )
    assert result.err.encode("utf-8", "surrogateescape") == NOISE + NEWS
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    result = ikelos_process(
        "list", before=f"import ikelos.pipelines.cli.app as app; app.execute = lambda a: exec({say!r})"
    )
    assert result.err.encode("utf-8", "surrogateescape") == NEWS
