"""A process that exports on demand and dies on demand, for test_export_killed.py.

Each line of standard input is a JSON object with a "base_path", a "value" that the version's model adds, and at
most one of
    "step": n        SIGKILL just before the n-th step on a file or folder below the base path,
    "nth": [name, n] SIGKILL just before the n-th step of that name,
    "moment": s      SIGKILL s seconds after tf.saved_model.save began,
    "file_bytes": n  no file may grow beyond n bytes, as on a full disk,
    "user": id       the work is done by that user.
Each is done in a fork (TensorFlow has started no thread by then), and answered by one line of JSON: how the fork
ended ("killed", "version" or "error") and the steps it got through. Steps and numbers count from 0.
"""

import functools
import json
import os
import resource
import signal
import sys
import threading

import tensorflow as tf

from ikelos.serving import Signature, export

# Audit events about files and folders. os.fsync raises none, so it is wrapped.
_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


class Adder(tf.Module):
    def __init__(self, value):
        self.amount = tf.Variable(float(value))
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), default_value=0)

    def __call__(self, x):
        return {"y": x + self.amount, "known": self.table.lookup(tf.strings.as_string(x))}


def work(order: dict, say) -> dict:
    base_path, steps = order["base_path"], []

    def step(name, path):
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(base_path):
            if order.get("step") == len(steps) or order.get("nth") == [name, steps.count(name)]:
                os.kill(os.getpid(), signal.SIGKILL)
            steps.append(name)
            say({"step": name})

    sys.addaudithook(lambda event, args: step(event, args[0]) if event in _EVENTS else None)
    fsync, save = os.fsync, tf.saved_model.save

    def watched_fsync(handle):
        step("fsync", os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    def doomed_save(*args, **kwargs):
        threading.Timer(order["moment"], os.kill, (os.getpid(), signal.SIGKILL)).start()
        save(*args, **kwargs)

    os.fsync = watched_fsync
    if "moment" in order:
        tf.saved_model.save = doomed_save
    if "file_bytes" in order:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"],) * 2)
    if "user" in order:
        os.setuid(order["user"])
    model = Adder(order["value"])
    signature = Signature(
        "serving_default", model, {"x": tf.TensorSpec([None], tf.float32)}, {"x": [1.0, 2.0]}, "Adds."
    )
    try:
        return {"version": export(base_path, model, [signature]).name}
    except OSError as error:
        return {"error": str(error)}


def send(pipe: int, message: dict):
    os.write(pipe, json.dumps(message).encode() + b"\n")


def main():
    for line in sys.stdin:
        order = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            say = functools.partial(send, write)
            say(work(order, say))
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            said = [json.loads(text) for text in pipe]
        _, status = os.waitpid(child, 0)
        answer = {"steps": [message["step"] for message in said if "step" in message]}
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            answer["killed"] = True
        elif status == 0:
            answer |= said[-1]
        else:
            answer["error"] = f"the fork ended with status {status}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
