import os
import signal
import subprocess
import sys
import threading

import pytest

from ikelos.pipelines import lock
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.lock import locked

HOLDER = """
import sys, time
from pathlib import Path
from ikelos.pipelines.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path, holder):
    with pytest.raises(UserError, match=f"{tmp_path} is in use by process {holder.pid}:"), locked(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "lock").read_text() == str(holder.pid)
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_second_process_may_wait_and_says_for_whom(tmp_path, holder, monkeypatch):
    said, killed = [], threading.Event()

    def kill():
        killed.set()
        holder.kill()

    def say(line):
        said.append(line)
        threading.Timer(0.1, kill).start()  # in which who does not wait goes on

    monkeypatch.setattr(lock, "say", say)
    with locked(tmp_path, wait=True):
        assert killed.is_set()
        assert holder.wait(60) == -signal.SIGKILL
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert said == [f"Waiting for process {holder.pid}, which is using {tmp_path}"]


def test_who_need_not_wait_says_nothing(tmp_path, capsys):
    with locked(tmp_path, wait=True):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert capsys.readouterr().out == ""


def test_a_lock_can_be_taken_again_and_again(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "new"):
            pass


def test_the_lock_is_never_another_file(tmp_path):
    other, path = tmp_path / "other", tmp_path / "lock"
    other.write_text("precious")

    def refused():
        with (
            pytest.raises(UserError, match=r"lock must be the lock of a run, .*Received: something else"),
            locked(tmp_path),
        ):
            pass
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    path.symlink_to(other)
    refused()
    path.symlink_to(tmp_path / "nowhere")
    refused()
    os.link(other, path)
    refused()
    path.mkdir()
    refused()
    os.mkfifo(path)
    refused()
    path.write_text("9" * 30)
    refused()
    assert other.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
    path.write_text("")  # as if its process was killed before it wrote its id
    with locked(tmp_path):
        assert path.read_text() == str(os.getpid())


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"Cannot write to the folder .*/file/run: Not a directory"
    with pytest.raises(UserError, match=message), locked(tmp_path / "file" / "run"):
        pass
