"""Helpers of the benchmarks that compare times: interleaved runs, the table, the JSON file, the chart.

Clocks drift by a factor of two within minutes. So contenders take turns, in a new random order each round, and a ratio
is the median of the rounds' ratios. The rate of a matrix product (sgemm) is measured in the same rounds, by the fastest
framework among the contenders. Before a case is timed, the results of each contender are compared with ours.

`main` gives a script its options:

    --quick             run fewer cases and rounds, for a first look in minutes
    --smoke             run the smallest case, to see that everything runs; its times mean nothing
    --cases PATTERN     run only cases whose name contains a match of this regular expression
    --peers PATTERN     run only peers whose name contains a match of this regular expression
    --threads N         number of threads of every contender, by default 2
    --isa NAME          instruction set that limits every contender: avx512, avx2 or portable
    --torch-python PATH interpreter with PyTorch, by default this one if it has PyTorch
    --json PATH         file for a list of {"case", "ours_ms", "peer", "peer_ms", "ratio"}
    --plot PATH         file for a picture of the ratios

A ratio is the peer's time divided by ours: above 1, ours is faster. The time of the peer `sgemm` is the time that the
case's useful FLOPs would take at the rate of a matrix product. So its ratio is the fraction of that rate that ours
reaches.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import workers
from workers import Contender, Worker

OURS = "Ikelos"
SGEMM = "sgemm"
# By name: the seconds for which a case is timed, and the smallest number of rounds.
EFFORT = {"full": (10.0, 7), "quick": (1.5, 3), "smoke": (0.0, 1)}

SETTLE_SECONDS = 0.003  # OpenMP's threads still spin for a millisecond or so after their last work.

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Goal:
    """Goal for a ratio: at least `least` or at most `most`. It holds only if our time is above `above_ms`."""

    least: float | None = None
    most: float | None = None
    above_ms: float = 0.0

    def verdict(self, row: Row) -> str:
        """Returns the goal and whether a row meets it; below `above_ms`, the difference between the times."""
        if row["ours_ms"] <= self.above_ms:
            return f"{1e3 * (row['peer_ms'] - row['ours_ms']):+.0f} us"
        if self.least is not None:
            return f">= {self.least:g}  {'met' if row['ratio'] >= self.least else 'MISSED'}"
        return f"<= {self.most:g}  {'met' if row['ratio'] <= self.most else 'MISSED'}"


def under_xla(calls: int = 1) -> Goal:
    """Returns the goal for our op under XLA: a ratio of at most 1.1.

    It does not apply to calls below two milliseconds, which TensorFlow's overhead dominates.
    """
    return Goal(most=1.1, above_ms=2.0 * calls)


@dataclasses.dataclass(frozen=True)
class Case:
    """A computation that all contenders run.

    Attributes:
        name: Description of the case in the table and the JSON file.
        arguments: Plain values from which contenders prepare the case.
        peers: For the name of each peer, the goal of its ratio, or None if the peer is for information only.
        flops: Useful floating-point operations; not 0 if sgemm is among the peers.
        tolerance: Largest error of a peer's results, as a share of the largest number in ours.
        left_out: Names of peers or sizes that are left out, such as a peer that takes too long; shown in the table.
    """

    name: str
    arguments: dict[str, Any]
    peers: Mapping[str, Goal | None]
    flops: float = 0.0
    tolerance: float = 1e-4
    left_out: str = ""


def main(
    description: str, contenders: dict[str, Contender], cases: Callable[[str], Sequence[Case]], script: str
) -> None:
    """Runs a benchmark, or one of its contenders, as the command line says.

    Args:
        description: The script's docstring.
        contenders: Contenders by name; `OURS` is among them.
        cases: Function from a key of `EFFORT` to the cases.
        script: Path of the script.
    """
    run(make_comparison_parser(description).parse_args(), contenders, cases, script)


def run(
    options: argparse.Namespace,
    contenders: dict[str, Contender],
    cases: Callable[[str], Sequence[Case]],
    script: str,
    table: Callable[..., None] | None = None,
    picture: Callable[[Sequence[Row], str], None] | None = None,
) -> None:
    """Runs a benchmark as `main` does, with options that are already parsed.

    Args:
        options: The parsed options.
        contenders: Contenders by name; `OURS` is among them.
        cases: Function from a key of `EFFORT` to the cases.
        script: Path of the script.
        table: Function of the chosen cases, the contenders, their commands, the options and a list, which measures,
            prints a table and appends its rows to the list; by default that of times and ratios.
        picture: Function that draws the rows to a path; by default `plot`.
    """
    if options.serve:
        workers.serve(contenders[options.serve])
        return
    commands = _commands(contenders, script, options)
    chosen = _chosen(cases(options.effort), commands, options)
    with written(options, picture or plot) as rows:
        (table or _run)(chosen, contenders, commands, options, rows)


def make_comparison_parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser of the options of a benchmark that compares times."""
    parser = make_parser(description)
    parser.add_argument("--cases", metavar="PATTERN", default="", help="only cases whose name matches")
    parser.add_argument("--peers", metavar="PATTERN", default="", help="only peers whose name matches")
    parser.add_argument("--isa", choices=list(workers.LIMITS), help="instruction set that limits every contender")
    parser.add_argument("--serve", metavar="NAME", help=argparse.SUPPRESS)
    return parser


def make_parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser of the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_const", dest="effort", const="quick", help="take minutes, for a first look"
    )
    parser.add_argument(
        "--smoke", action="store_const", dest="effort", const="smoke", help="only check that everything runs"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of every contender")
    parser.add_argument("--torch-python", metavar="PATH", help="interpreter with PyTorch")
    parser.add_argument("--json", metavar="PATH", help="file for the figures")
    parser.add_argument("--plot", metavar="PATH", help="file for a picture of the figures")
    parser.set_defaults(effort="full")
    return parser


@contextlib.contextmanager
def written(options: argparse.Namespace, plot: Callable[[Sequence[Row], str], None]) -> Iterator[list[Row]]:
    """Context manager that yields a list for rows; at its end, the rows are written and drawn if the options say so.

    The JSON file is written even if the context fails, as some of the rows took minutes.
    """
    rows: list[Row] = []
    try:
        yield rows
    finally:
        if options.json and rows:
            pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot)


def _commands(contenders, script, options):
    """Returns the command that starts each contender; without PyTorch, its contenders are left out."""
    torch = workers.torch_python(options.torch_python)
    without = [name for name, contender in contenders.items() if contender.framework == "torch" and not torch]
    if without:
        print(f"Not run: {', '.join(without)} (this interpreter has no PyTorch, and --torch-python is not given)")
    return {
        name: [torch if contender.framework == "torch" else sys.executable, script]
        for name, contender in contenders.items()
        if name not in without
    }


def named(cases: Sequence[Case], pattern: str) -> list[Case]:
    """Returns the cases whose name contains a match of a pattern.

    Raises:
        SystemExit: If there is no such case.
    """
    chosen = [case for case in cases if re.search(pattern, case.name)]
    if not chosen:
        raise SystemExit(f"--cases must match the name of a case. Received: --cases {pattern!r}")
    return chosen


def _chosen(cases, commands, options):
    """Returns the cases that match the options, each with its peers that are available and match."""
    chosen = []
    for case in named(cases, options.cases):
        peers = {
            name: goal
            for name, goal in case.peers.items()
            if (name in commands or name == SGEMM) and re.search(options.peers, name)
        }
        if peers:
            chosen.append(dataclasses.replace(case, peers=peers))
    if not chosen:
        raise SystemExit(
            "--peers must match the name of an available peer of a case. "
            f"Received: --cases {options.cases!r} --peers {options.peers!r}"
        )
    return chosen


def _run(cases, contenders, commands, options, rows):
    """Prints the table and appends its rows."""
    names = [name for name in commands if name == OURS or any(name in case.peers for case in cases)]
    shuffle, rates = random.Random(0), []
    with workers.started(names, commands, options.threads, options.isa) as started:
        products = list({contenders[name].framework: worker for name, worker in started.items()}.values())
        for name, worker in started.items():
            print(f"{name}: {worker.about()}")
        width = max(len(case.name) for case in cases)
        print(f"\n{'case':<{width}} {'ours ms':>9}   {'peer':<20} {'peer ms':>9} {'ratio':>6}   goal", flush=True)
        for case in cases:
            times = measure(case, started, products, *EFFORT[options.effort], shuffle)
            if case.flops:
                rates += [workers.SGEMM_FLOPS / seconds for seconds in times[SGEMM]]
            for place, row in enumerate(make_rows(case, times)):
                name, ours = ("", "") if place else (case.name, f"{row['ours_ms']:.3f}")
                goal = case.peers[row["peer"]]
                print(
                    f"{name:<{width}} {ours:>9}   {row['peer']:<20} {row['peer_ms']:>9.3f} {row['ratio']:>6.2f}   "
                    f"{goal.verdict(row) if goal else ''}".rstrip(),
                    flush=True,
                )
                rows.append(row)
            if case.left_out:
                print(f"{'':<{width}} left out: {case.left_out}", flush=True)
    if rates:
        print(
            f"\nsgemm {workers.SGEMM_SIZE}^3: {statistics.median(rates) / 1e9:.0f} GFLOP/s on {options.threads} threads"
        )


def measure(
    case: Case,
    started: Mapping[str, Worker],
    products: Sequence[Worker],
    seconds: float,
    rounds: int,
    shuffle: random.Random,
) -> dict[str, list[float]]:
    """Measures the seconds per call of each contender in each round.

    Args:
        case: The case to time.
        started: The contenders' processes by name.
        products: Processes whose sgemm is timed too if the case has FLOPs; the fastest one counts.
        seconds: Seconds for which the case is timed.
        rounds: Smallest number of rounds.
        shuffle: Source of the random order within each round.

    Returns:
        Seconds per call in each round, for ours, for each peer and for sgemm.

    Raises:
        RuntimeError: If a contender fails, or its results differ from ours.
    """
    names = [OURS, *(name for name in case.peers if name != SGEMM)]
    ours = started[OURS].prepare(case.arguments)
    for name in names[1:]:
        check(case, name, started[name].prepare(case.arguments), ours)
    turns = [(name, started[name].seconds) for name in names]
    if case.flops:
        turns += [(SGEMM, worker.sgemm_seconds) for worker in products]
    times: dict[str, list[float]] = {name: [] for name, _ in turns}
    end = time.perf_counter() + seconds
    while len(times[OURS]) < rounds or time.perf_counter() < end:
        fastest: dict[str, float] = {}
        for name, turn in shuffle.sample(turns, len(turns)):
            time.sleep(SETTLE_SECONDS)
            fastest[name] = min(turn(), fastest.get(name, float("inf")))
        for name, its in fastest.items():
            times[name].append(its)
    for name in names:
        started[name].release()
    return times


def check(case: Case, name: str, results: Sequence[np.ndarray], ours: Sequence[np.ndarray]) -> None:
    """Raises RuntimeError if a contender's results differ from ours."""
    if len(results) != len(ours):
        raise RuntimeError(f"{case.name}: {name} returns {len(results)} results, but {OURS} {len(ours)}")
    for place, (its, right) in enumerate(zip(results, ours, strict=True)):
        if its.shape != right.shape:
            raise RuntimeError(
                f"{case.name}: result {place} of {name} has shape {its.shape}, but that of {OURS} {right.shape}"
            )
        error = np.max(np.abs(its - right), initial=0.0) / max(np.max(np.abs(right), initial=0.0), 1e-30)
        if not error <= case.tolerance:  # a NaN is not
            raise RuntimeError(
                f"{case.name}: result {place} of {name} differs from that of {OURS} by {error:.1e} of its largest "
                f"number, more than {case.tolerance:.1e}"
            )


def make_rows(case: Case, times: Mapping[str, Sequence[float]]) -> list[Row]:
    """Returns a row for each peer of a case: medians in milliseconds, and the median of the rounds' ratios."""
    ours = times[OURS]
    rows = []
    for peer in case.peers:
        # The product that sgemm computes has another number of FLOPs than the case.
        factor = case.flops / workers.SGEMM_FLOPS if peer == SGEMM else 1.0
        its = [factor * seconds for seconds in times[peer]]
        rows.append(
            {
                "case": case.name,
                "ours_ms": 1e3 * statistics.median(ours),
                "peer": peer,
                "peer_ms": 1e3 * statistics.median(its),
                "ratio": statistics.median(b / a for a, b in zip(ours, its, strict=True)),
            }
        )
    return rows


def plot(
    rows: Sequence[Row], path: str, label: str = "time of the peer / our time (right of 1, ours is faster)"
) -> None:
    """Draws the ratios of all cases, a colour and a mark for each peer; `label` says what a ratio is."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from ikelos.pipelines.report import charts

    cases = list(dict.fromkeys(row["case"] for row in rows))
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    with charts.style():
        figure = Figure(figsize=(8.5, 0.26 * len(cases) + 1.6), layout="constrained")
        axes = figure.subplots()
        for peer, mark in zip(peers, "osD^vP*X", strict=False):
            its = [row for row in rows if row["peer"] == peer]
            places = [cases.index(row["case"]) for row in its]
            axes.plot([row["ratio"] for row in its], places, mark, linestyle="none", markersize=6, label=peer)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks(range(len(cases)), cases)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        figure.legend(loc="outside upper left", ncols=4)
    figure.savefig(path, dpi=150)
