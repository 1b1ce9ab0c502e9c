import os

import pytest

from ikelos.pipelines.cli.quiet import muted

NOISE = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1795404596.337350   20261 port.cc:153] oneDNN custom operations are on.\n"
    b"W0000 00:00:1795404596.337350   20261 x.cc:1] something\n"
    b"E0000 00:00:1795404616.864234   20261 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)\n"
    b"E0000 00:00:1795405302.223291   27550 util.cc:131] oneDNN supports DT_INT64 only on platforms with AVX-512.\n"
)
NEWS = b"E0000 00:00:1795404616.864234   20261 x.cc:1] the file is broken\nand so on\n"


def test_noise_is_dropped_and_the_rest_comes_through(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    with muted():
        os.write(2, NOISE + NEWS)
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err.encode() == NEWS
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "later\n"


def test_an_exception_passes_and_so_does_what_was_written(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    def fail():
        with muted():
            os.write(2, NOISE + NEWS)
            raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        fail()
    assert capfd.readouterr().err.encode() == NEWS


@pytest.mark.parametrize("level", [None, "0", "1"])
def test_who_asks_for_the_log_gets_it(capfd, monkeypatch, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if level is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    with muted():
        os.write(2, NOISE + NEWS)
    assert capfd.readouterr().err.encode() == NOISE + NEWS
