"""A model behind `ikelos serve` under load, by gRPC and REST, beside the same model without a server.

    python benchmarks/serving.py [--quick] [--torch-python PATH] [--json PATH]

`compare.py` explains the options. `--quick` takes less than three minutes.

The model is the Transformer of `step.py`, 4 layers of 256, with the signatures `serving_default`, the likelihood of 64
tokens, and `generate`, 32 tokens after 16. Each request has one row.

In a closed loop 1, 4 or 16 clients ask again as soon as they have their answer. In an open loop requests arrive at
random (a Poisson process), at 50% and 80% of the rate of 16 clients, and don't wait for earlier ones. Their latency
counts from the moment at which they should have been sent, so a server that cannot keep up shows it.

The server runs in a process of its own, with the portable export; "batched" is with `--max-batch 16`. All clients are
coroutines of this process. Server and clients share the machine's cores, so what the clients use is not available to
the server: the column "clients" says how much of one core that is. The contenders without a server are threads of one
process that call the model: `StockModel` with the portable and with the native export, and Hugging Face's `generate`
with the same weights and so the same tokens.

`--json` writes a list of {"case", "contender", "load", "per_second", "p50_ms", "p95_ms", "p99_ms",
"clients_processor"}.
"""

import asyncio
import contextlib
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import compare
import exported
import generate
import load
import numpy as np
import step_transformer
import workers
from workers import Contender

NATIVE, HUGGING_FACE = "native, no server", generate.HUGGING_FACE
LABELS = {compare.OURS: "portable, no server"}
CLIENTS, SHARES = (1, 4, 16), (0.5, 0.8)
SERVERS = {"": (), ", batched": ("--max-batch", "16")}
# Seconds of a measurement.
EFFORT = {"full": 5.0, "quick": 0.75, "smoke": 0.0}
EXPORT = "import json, sys, exported; exported.export(json.loads(sys.argv[1]), exported.PORTABLE, sys.argv[2])"
SERVE = "import sys; from ikelos.pipelines.cli import main; sys.exit(main())"


def request(case):
    """Returns signature and inputs of a request of a case."""
    inputs = {"tokens": generate.prompts(case)}
    if case["length"]:
        return exported.GENERATE, inputs | {"length": np.full([case["batch"]], case["length"], np.int32)}
    return exported.SCORE, inputs


def results(case, outputs):
    """Returns the results of a case from the outputs of its signature."""
    return [outputs["tokens"][:, : case["length"]] if case["length"] else outputs["log_likelihood"]]


def stock(flavour):
    def prepare(case):
        model, (signature, inputs) = exported.stock_model(case, flavour), request(case)
        return lambda: model.run(signature, inputs), lambda: results(case, model.run(signature, inputs))

    return prepare


CONTENDERS = {
    compare.OURS: Contender(stock(exported.PORTABLE)),
    NATIVE: Contender(stock(exported.NATIVE)),
    HUGGING_FACE: Contender(generate.hugging_face, "torch"),
}


def cases(effort):
    sizes = generate.TINY if effort == "smoke" else generate.SMALL
    arguments = step_transformer.arguments(1, 128, **sizes)
    score, write = ({"prompt": 3, "length": 0}, {"prompt": 3, "length": 4})
    if effort != "smoke":
        score, write = {"prompt": 64, "length": 0}, {"prompt": 16, "length": 32}
    return [
        compare.Case(f"score {score['prompt']} tokens", arguments | score, {NATIVE: None}),
        compare.Case(
            f"generate {write['length']} tokens", arguments | write, {NATIVE: None, HUGGING_FACE: None}, tolerance=0.0
        ),
    ]


def export(case, base, threads):
    """Writes the model of a case, in another process: TensorFlow's threads would be in the way of the clients."""
    finished = subprocess.run(
        [sys.executable, "-c", EXPORT, json.dumps(case), str(base)],
        cwd=pathlib.Path(__file__).parent,
        env=workers.environment(threads),
        stderr=subprocess.PIPE,
        text=True,
    )
    if finished.returncode:
        raise RuntimeError(f"The export ended with status {finished.returncode}:\n{finished.stderr[-4000:]}")


@contextlib.contextmanager
def serving(base, threads, *options):
    """Context manager in which a process serves a model, and which yields the addresses of gRPC and REST."""
    command = [sys.executable, "-c", SERVE, "serve", str(base), "--rest-port", "0", "--grpc-port", "0", *options]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=workers.environment(threads)
        )
        try:
            line = server.stdout.readline()
            found = re.search(r"//\w+:(\d+)/ \(gRPC: port (\d+)\)", line)
            if not found:
                server.wait()
                log.seek(0)
                raise RuntimeError(f"The server ended with status {server.returncode}:\n{line}{log.read()[-4000:]}")
            yield {"gRPC": f"localhost:{found[2]}", "REST": f"localhost:{found[1]}"}
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()


async def measure_server(case, model, protocol, address, seconds, expected):
    """Yields the load and what it has shown, for each load."""
    from ikelos.serving.client import AsyncClient  # PyTorch's interpreter need not have it

    signature, inputs = request(case.arguments)
    async with contextlib.AsyncExitStack() as stack:
        calls = []
        for _ in range(max(CLIENTS)):
            client = await stack.enter_async_context(AsyncClient(address, model, rest=protocol == "REST"))
            # The first call asks for the signatures and opens the connection.
            answer = results(case.arguments, await client.predict(inputs, signature))
            compare.check(case, protocol, answer, expected)
            calls.append(lambda client=client: client.predict(inputs, signature))
        for clients in CLIENTS:
            most = await load.closed(calls[:clients], seconds)
            yield clients_of(clients), most
        for share in SHARES:
            yield f"arrivals at {share:.0%}", await load.opened(calls, share * most.per_second, seconds)


def clients_of(number):
    return f"{number} client{'s' if number > 1 else ''}"


def table(cases, contenders, commands, options, rows):
    """Measures, prints the table and appends its rows."""
    seconds = EFFORT[options.effort]
    names = [name for name in commands if name == compare.OURS or any(name in case.peers for case in cases)]
    expected = {}

    def add(case, contender, load, figures):
        contender = LABELS.get(contender, contender)
        rows.append({"case": case.name, "contender": contender, "load": load, **figures})
        shown = " ".join(f"{figures[name]:>9.2f}" for name in ("per_second", "p50_ms", "p95_ms", "p99_ms"))
        share = figures["clients_processor"]
        print(f"{contender:<20} {load:<17} {shown} {'' if share is None else f'{share:>8.2f}'}".rstrip(), flush=True)

    def head(case):
        print(f"\n{case.name:<38} {'answers/s':>9} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9} {'clients':>8}")

    with workers.started(names, commands, options.threads, options.isa) as started:
        for name, worker in started.items():
            print(f"{name}: {worker.about()}")
        for case in cases:
            head(case)
            expected[case.name] = started[compare.OURS].prepare(case.arguments)
            for name in case.peers:
                compare.check(case, name, started[name].prepare(case.arguments), expected[case.name])
            # In a random order, because clocks drift.
            runs = [(name, clients) for name in (compare.OURS, *case.peers) for clients in CLIENTS]
            for name, clients in random.Random(0).sample(runs, len(runs)):
                rate, latencies = started[name].crowd(clients, seconds)
                add(
                    case,
                    name,
                    clients_of(clients),
                    load.Measured(rate, latencies, 0.0).row() | {"clients_processor": None},
                )
            for name in (compare.OURS, *case.peers):
                started[name].release()
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder, "model")
        export(cases[0].arguments, base, options.threads)
        for suffix, arguments in SERVERS.items():
            with serving(base, options.threads, *arguments) as addresses:
                for case in cases:
                    head(case)
                    for protocol, address in addresses.items():

                        async def measured(case=case, protocol=protocol, address=address, suffix=suffix):
                            known = expected[case.name]
                            measurements = measure_server(case, base.name, protocol, address, seconds, known)
                            async for name, found in measurements:
                                add(case, f"{protocol}{suffix}", name, found.row())

                        asyncio.run(measured())


def plot(rows, path):
    raise SystemExit("--plot is not offered by this script")


def main():
    compare.run(compare.make_comparison_parser(__doc__).parse_args(), CONTENDERS, cases, __file__, table, plot)


if __name__ == "__main__":
    main()
