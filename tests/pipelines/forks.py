"""Runs jobs, each in a fork of this process, so that what takes long to import is loaded once.

    python -P forks.py FILE

FILE has a function `run`, which takes a job and returns an exit code, or None for 0. Loading it must run nothing of
TensorFlow: a fork of a process whose TensorFlow has threads may wait for ever. Each line of the standard input is a
job, an object in JSON; one with `kill_after` is killed after so many seconds. After each job its exit code is printed,
in the form that `subprocess` uses: -9 if it was killed.

Use -P: without it, folders beside this file, such as `tfx`, would hide that a package is not installed.
"""

import importlib.util
import json
import os
import select
import signal
import sys
import traceback

_FAILED = 70


def _run_in_fork(run, job):
    """Runs a job and ends this process."""
    code = _FAILED
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the standard input has the next jobs
        code = run(job) or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def main():
    specification = importlib.util.spec_from_file_location("ikelos_tests_jobs", sys.argv[1])
    jobs = sys.modules[specification.name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(jobs)
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run_in_fork(jobs.run, job)
        if "kill_after" in job:
            descriptor = os.pidfd_open(pid)
            if not select.select([descriptor], [], [], job["kill_after"])[0]:
                os.kill(pid, signal.SIGKILL)
            os.close(descriptor)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
