"""Memory of attention beyond its inputs and results: `ikelos.kernels.attention` beside Keras and PyTorch.

    python benchmarks/memory.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]

Each figure is measured in a fresh process, after a tiny call that loads code and starts threads. It is the peak of the
resident memory during one call (Linux's VmHWM, which is reset before), less the memory that was resident before the
call, less the output and the gradients. B*N = 8, H = 64, float32. It includes some megabytes that TensorFlow takes to
trace the call.

`--json` writes a list of {"case", "ours_bytes", "peer", "peer_bytes", "ratio"}, where the ratio is the peer's bytes
divided by ours. The peer `one B*N*T*S array` is not measured: it is the size of all attention weights. Keras is left
out where it would need more memory than is free, and the table says so.
"""

import ctypes
import json
import os
import pathlib
import subprocess
import sys

import attention
import compare
import workers

WEIGHTS = "one B*N*T*S array"
GOAL_BYTES = 64e6  # at T = 16384, forward and backward
ARRAYS = {False: 3, True: 5}  # number of B*N*T*S arrays that Keras's graph holds at once, without and with backward
SIZES = {"full": (2048, 4096, 8192, 16384), "quick": (2048, 4096), "smoke": (64,)}


def extra_bytes(name, case):
    """Returns the bytes of memory that one call takes in this process, beyond its inputs and results."""
    call = attention.CONTENDERS[name].prepare({**case, "queries": 16, "keys": 16})[0]
    call()
    call = attention.CONTENDERS[name].prepare(case)[0]
    results, taken = taken_bytes(call)
    result = 4 * case["batch"] * case["queries"] * attention.HEADS * case["size"]
    return taken - len(results) * result


def taken_bytes(call):
    """Returns the results of a call, and the bytes by which the resident memory grew at most during it."""
    # Pages that the allocator keeps would hide memory that the call takes.
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # VmHWM becomes VmRSS
    before = _status("VmRSS")
    results = call()
    return results, _status("VmHWM") - before


def _status(key):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {key}")


def measure(name, case, python, threads):
    """Runs `extra_bytes` in a fresh process and returns its result."""
    command = [python, __file__, "--measure", name, json.dumps(case)]
    done = subprocess.run(command, env=workers.environment(threads), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
    return int(done.stdout)


def compared(options, rows):
    """Prints the rows and appends them, one by one."""
    torch = workers.torch_python(options.torch_python)
    pythons = {attention.KERAS: sys.executable}
    if torch:
        pythons[attention.PYTORCH] = torch
    else:
        print("Not run: PyTorch (this interpreter does not have it, and --torch-python is not given)")
    print(f"{'case':<30} {'ours MB':>9}   {'peer':<18} {'peer MB':>9} {'ratio':>7}")
    for backward in (False, True) if options.effort != "smoke" else (True,):
        for time in SIZES[options.effort]:
            case = attention.arguments(1, time, time, backward=backward)
            name = f"{'forward+backward' if backward else 'forward'} T=S={time}"
            ours = measure(compare.OURS, case, sys.executable, options.threads)
            weights = 4 * attention.HEADS * time**2
            peers = {WEIGHTS: weights}
            for peer, python in pythons.items():
                needs = ARRAYS[backward] * weights
                if peer == attention.KERAS and needs > _free_bytes():
                    print(f"{name:<30} {'':>9}   {peer:<18} left out: it would need {needs / 1e9:.0f} GB")
                    continue
                peers[peer] = measure(peer, case, python, options.threads)
            for peer, its in peers.items():
                ratio = its / max(ours, 1)
                print(f"{name:<30} {ours / 1e6:>9.1f}   {peer:<18} {its / 1e6:>9.1f} {ratio:>7.1f}", flush=True)
                rows.append({"case": name, "ours_bytes": ours, "peer": peer, "peer_bytes": its, "ratio": ratio})
            if backward and time == 16384:
                print(f"{name:<30} goal: < {GOAL_BYTES / 1e6:g} MB  {'met' if ours < GOAL_BYTES else 'MISSED'}")


def _free_bytes():
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def plot(rows, path):
    from matplotlib.figure import Figure

    from ikelos.pipelines.report import charts

    with charts.style():
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("forward", "forward+backward"), strict=True):
            lines = {}
            for row in rows:
                which, _, time = row["case"].partition(" T=S=")
                if which == kind:
                    lines.setdefault(compare.OURS, {})[int(time)] = row["ours_bytes"]
                    lines.setdefault(row["peer"], {})[int(time)] = row["peer_bytes"]
            for name, line in lines.items():
                axes.plot(list(line), [max(value, 1e5) / 1e6 for value in line.values()], marker="o", label=name)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_title(kind)
            axes.set_xlabel("T = S")
            if lines:
                axes.legend()
        figure.axes[0].set_ylabel("MB beyond inputs and results")
    figure.savefig(path, dpi=150)


def main():
    if sys.argv[1:2] == ["--measure"]:
        print(extra_bytes(sys.argv[2], json.loads(sys.argv[3])))
        return
    options = compare.make_parser(__doc__).parse_args()
    with compare.written(options, plot) as rows:
        compared(options, rows)


if __name__ == "__main__":
    main()
