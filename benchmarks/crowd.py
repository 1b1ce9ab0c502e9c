"""Many clients of one op, and a busy neighbour: `ikelos.kernels` beside Keras and PyTorch.

    python benchmarks/crowd.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]
    python benchmarks/crowd.py --cases 'LSTM forward' --peers PyTorch

`compare.py` explains the options. `--quick` takes less than 3 minutes.

A contender is called by 1, 4 or 16 Python threads of one process at once, as by the threads of a server, each of which
calls again as soon as it has its answer: for TensorFlow one `tf.function`, for PyTorch the same module or function.
TensorFlow's clients share a pool of threads. PyTorch has helpers for each of its clients (OpenMP), so 16 clients
compute with 32 threads. Then one client calls while another process, the neighbour, spins on one of the cores that the
contender may use. Training, forward and backward, has one client, with and without the neighbour.

The table has the answers per second of all clients together, the median of the rounds, and the median and the 99th
percentile of the times between question and answer in all rounds. A ratio is the rate divided by that of one client
without a neighbour, of the same contender in the same round. With 16 clients it should be at least 1. With a neighbour
it should be at least PyTorch's. PyTorch divides its work evenly between the threads, so all wait for the one that
shares its core; by default they spin, and with OMP_WAIT_POLICY=PASSIVE in the environment they sleep.

`--json` writes a list of {"case", "contender", "clients", "neighbours", "per_second", "p50_ms", "p99_ms", "ratio"}.
"""

import contextlib
import dataclasses
import os
import random
import statistics
import subprocess
import sys

import attention
import compare
import numpy as np
import recurrent
import workers
from workers import Contender

PYTORCH, KERAS = recurrent.PYTORCH, recurrent.KERAS
# Seconds of a measurement, and the number of rounds.
EFFORT = {"full": (2.0, 5), "quick": (0.5, 3), "smoke": (0.0, 1)}
SPIN = "import os; os.sched_setaffinity(0, [{core}]); print('spins', flush=True)\nwhile True: pass"


@dataclasses.dataclass(frozen=True)
class Condition:
    """Number of threads that call at once, and of processes that spin on one of the cores."""

    clients: int = 1
    neighbours: int = 0

    def __str__(self):
        return f"{self.clients} client{'s' if self.clients > 1 else ''}{', busy neighbour' if self.neighbours else ''}"


QUIET, BUSY, MANY = Condition(), Condition(neighbours=1), Condition(clients=16)
FORWARD, TRAINING = (QUIET, Condition(clients=4), MANY, BUSY), (QUIET, BUSY)


def contender(name):
    """Returns the contender of the benchmarks of attention and of the recurrent ops that has this name."""

    def prepare(case):
        return (recurrent if "cell" in case else attention).CONTENDERS[name].prepare(case)

    return Contender(prepare, attention.CONTENDERS[name].framework)


CONTENDERS = {name: contender(name) for name in (compare.OURS, PYTORCH, KERAS)}


def case(kind, arguments):
    name = f"{kind}{'+backward' if arguments['backward'] else ''}"
    sizes = {"T": "queries", "S": "keys"} if "keys" in arguments else {"T": "time", "U": "units"}
    sizes = " ".join(f"{letter}={arguments[key]}" for letter, key in {**sizes, "B": "batch"}.items())
    return compare.Case(f"{name} {sizes}", arguments, {PYTORCH: None, KERAS: None})


def cases(effort):
    if effort == "smoke":
        return [
            case("attention forward", attention.arguments(1, 8, 8)),
            case("LSTM forward", recurrent.arguments("lstm", 1, 4, 8, backward=True)),
        ]
    both = (False, True)
    chosen = [
        *(case("attention forward", attention.arguments(1, 512, 512, backward=backward)) for backward in both),
        case("attention decode", attention.arguments(1, 1, 1024)),
        *(
            case("LSTM forward", recurrent.arguments("lstm", batch, 100, 256, backward=backward))
            for batch in (1, 8)
            for backward in both
        ),
    ]
    if effort == "full":
        chosen += [case("GRU forward", recurrent.arguments("gru", 8, 100, 256, backward=backward)) for backward in both]
    return chosen


@contextlib.contextmanager
def neighbours(count):
    """Context manager in which `count` processes spin on the first core that this process may use."""
    command = [sys.executable, "-c", SPIN.format(core=min(os.sched_getaffinity(0)))]
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            process.stdout.readline()  # It spins from here on.
        yield


def measure(case, started, seconds, rounds, shuffle):
    """Measures a case under its conditions.

    Args:
        case: The case.
        started: The contenders' processes by name.
        seconds: Seconds of each measurement.
        rounds: Number of rounds.
        shuffle: Source of the random order within each round.

    Returns:
        By contender and condition, the calls per second and the latencies of each round.
    """
    names = [compare.OURS, *case.peers]
    ours = started[compare.OURS].prepare(case.arguments)
    for name in case.peers:
        compare.check(case, name, started[name].prepare(case.arguments), ours)
    turns = [(name, condition) for name in names for condition in conditions(case)]
    measured = {turn: [] for turn in turns}
    for _ in range(rounds):
        for name, condition in shuffle.sample(turns, len(turns)):
            with neighbours(condition.neighbours):
                measured[name, condition].append(started[name].crowd(condition.clients, seconds))
    for name in names:
        started[name].release()
    return measured


def conditions(case):
    return TRAINING if case.arguments["backward"] else FORWARD


def make_rows(case, measured):
    """Returns a row for each condition and contender."""
    rows = []
    for condition in conditions(case):
        for name in (compare.OURS, *case.peers):
            rates, latencies = zip(*measured[name, condition], strict=True)
            alone = [rate for rate, _ in measured[name, QUIET]]
            p50, p99 = np.percentile(np.concatenate(latencies), [50, 99])
            rows.append(
                {
                    "case": case.name,
                    "contender": name,
                    **dataclasses.asdict(condition),
                    "per_second": statistics.median(rates),
                    "p50_ms": 1e3 * p50,
                    "p99_ms": 1e3 * p99,
                    "ratio": statistics.median(b / a for a, b in zip(alone, rates, strict=True)),
                }
            )
    return rows


def condition_of(row):
    return Condition(row["clients"], row["neighbours"])


def verdict(row, rows):
    """Returns the goal of a row, and whether the row meets it, or nothing; `rows` are those of the case."""
    goals = {
        MANY: 1.0,
        BUSY: next((x["ratio"] for x in rows if x["contender"] == PYTORCH and condition_of(x) == BUSY), None),
    }
    goal = goals.get(condition_of(row))
    if row["contender"] != compare.OURS or goal is None:
        return ""
    return f">= {goal:.2f}  {'met' if row['ratio'] >= goal else 'MISSED'}"


def table(cases, contenders, commands, options, all_rows):
    """Measures, prints the table and appends its rows."""
    names = [name for name in commands if name == compare.OURS or any(name in case.peers for case in cases)]
    shuffle = random.Random(0)
    with workers.started(names, commands, options.threads, options.isa) as started:
        for name, worker in started.items():
            print(f"{name}: {worker.about()}")
        head = f"{'':<26} {'contender':<9} {'answers/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'ratio':>6}   goal"
        for case in cases:
            rows = make_rows(case, measure(case, started, *EFFORT[options.effort], shuffle))
            print(f"\n{case.name}\n{head}")
            for row in rows:
                name = str(condition_of(row)) if row["contender"] == compare.OURS else ""
                print(
                    f"  {name:<24} {row['contender']:<9} {row['per_second']:>9.1f} {row['p50_ms']:>8.2f} "
                    f"{row['p99_ms']:>8.2f} {row['ratio']:>6.2f}   {verdict(row, rows)}".rstrip(),
                    flush=True,
                )
            all_rows += rows


def plot(rows, path):
    ratios = [
        {"case": f"{row['case']}, {condition_of(row)}", "peer": row["contender"], "ratio": row["ratio"]}
        for row in rows
        if condition_of(row) != QUIET
    ]
    compare.plot(ratios, path, "answers per second / those of one client without a neighbour")


def main():
    options = compare.make_comparison_parser(__doc__).parse_args()
    compare.run(options, CONTENDERS, cases, __file__, table, plot)


if __name__ == "__main__":
    main()
