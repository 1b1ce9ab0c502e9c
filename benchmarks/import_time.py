"""Compares the time of `import ikelos.layers` with that of `import keras`, on which it is built.

    python benchmarks/import_time.py [--rounds N] [--python PATH]

Both run in fresh processes, in turns, after one untimed turn that fills the disk's cache. The processor time of the
whole process is measured, as it varies less than the elapsed time. `--python` names the interpreter of an environment,
such as one with nothing but `pip install ikelos` in it.
"""

import argparse
import resource
import statistics
import subprocess
import sys

KERAS, OURS = "import keras", "import ikelos.layers"


def seconds(python, statement):
    """Returns the processor time, in seconds, of a process that runs one statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([python, "-c", statement], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"`{statement}` failed in {python}:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    """Measures both imports and prints one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="number of timed turns")
    parser.add_argument("--python", default=sys.executable, help="interpreter to measure, by default this one")
    options = parser.parse_args()
    turns = [(seconds(options.python, KERAS), seconds(options.python, OURS)) for _ in range(options.rounds + 1)][1:]
    keras, ours = (statistics.median(times) for times in zip(*turns, strict=True))
    ratio = statistics.median(b / a for a, b in turns)
    print(f"{KERAS}: {keras:.2f} s; {OURS}: {ours:.2f} s; ratio {ratio:.3f} (medians of {options.rounds} turns)")


if __name__ == "__main__":
    main()
