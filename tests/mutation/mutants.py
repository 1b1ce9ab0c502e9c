"""How well the tests find faults: draws one-line faults, mutants, and runs the tests that reach each until one fails.

    python tests/mutation/mutants.py draw --room kernels --count 15 --cpp 8 --out tests/mutation/drawn/kernels.json
    python tests/mutation/mutants.py draw --room layers --count 15 --out tests/mutation/drawn/layers.json
    python tests/mutation/mutants.py reach tests/kernels tests/layers --out build/reach.json
    python tests/mutation/mutants.py run --mutants tests/mutation/drawn/layers.json --reach build/reach.json \
        --out build/layers.json
    python tests/mutation/mutants.py compare OLD.json NEW.json

Run it by the Python of `.venv`, whose editable install is of this checkout; `reach` needs Python 3.12. What is drawn
depends only on the seed and the source of the room. `run` changes the source in place and puts it back, builds what is
C++ in the folder of the installation, and goes on where it was stopped. `reach` sees no code that runs in another
process, so the test file that mirrors a source file is always run, first of all.
"""

import argparse
import ast
import collections
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time

import cpp_faults
import python_faults

ROOT = pathlib.Path(__file__).resolve().parents[2]
CSRC = ROOT / "kernels/csrc"
BUILD = ROOT / "build" / sys.implementation.cache_tag
LIBRARY = pathlib.Path(sysconfig.get_path("purelib"), "ikelos/kernels/libikelos.so")
NINJA = pathlib.Path(sysconfig.get_path("scripts"), "ninja")


def read(path):
    return json.loads(pathlib.Path(path).read_text())


def write(path, content):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def relative(path):
    return str(path.relative_to(ROOT))


def draw(room, count, cpp, seed):
    """`count` mutants, `cpp` of them in C++, spread over the files: every line with a fault is as likely."""
    python = [path for path in sorted((ROOT / room).rglob("*.py")) if CSRC not in path.parents]
    drawn = draw_of(
        python, python_faults.faults, count - cpp, random.Random(f"{room} {seed}"), lambda path, fault: True
    )
    if cpp:
        native = [path for part in ("core", "tensorflow") for path in sorted((CSRC / part).glob("*.*"))]
        drawn += draw_of(native, cpp_faults.faults, cpp, random.Random(f"{room} c++ {seed}"), compiles)
    return [{"id": f"{room}-{number:02}", **mutant} for number, mutant in enumerate(drawn, 1)]


def draw_of(paths, faults, count, generator, accepted):
    by_line = collections.defaultdict(list)
    for path in paths:
        for fault in faults(path.read_text()):
            by_line[path, fault.line].append(fault)
    most = -(-count // max(1, len({path for path, _ in by_line})))
    order, taken, drawn = list(by_line), collections.Counter(), []
    generator.shuffle(order)
    for path, line in order:
        fault = generator.choice(by_line[path, line])
        if len(drawn) == count:
            break
        if taken[path] < most and accepted(path, fault):
            taken[path] += 1
            drawn.append({"file": relative(path), "line": line, "old": fault.old, "new": fault.new, "what": fault.what})
    return drawn


def compiles(path, fault):
    """Whether the translation units of the file's folder do that include it; the last build knows which."""
    commands, depends = (
        subprocess.run([NINJA, "-C", BUILD, "-t", tool], capture_output=True, text=True, check=True).stdout
        for tool in ("compdb", "deps")
    )
    # Blocks of an object and, in lines of their own, its files, the source first.
    blocks = [[os.path.realpath(BUILD / x.strip()) for x in block.split("\n")[1:]] for block in depends.split("\n\n")]
    users = {files[0] for files in blocks if str(path) in files and files[0].startswith(str(path.parent))}
    # A kernel is compiled for several instruction sets: one is enough.
    checks = {os.path.realpath(BUILD / x["file"]): x["command"] for x in json.loads(commands) if " -c " in x["command"]}
    with mutated(path, fault.line, fault.old, fault.new):
        for user in sorted(users):
            check = re.sub(r" -MD| -(o|MF|MT) \S+", "", checks[user]) + " -fsyntax-only"
            if subprocess.run(check, shell=True, cwd=BUILD, capture_output=True).returncode:
                return False
    return True


class mutated:  # noqa: N801
    """In this scope a line of a file is another."""

    def __init__(self, path, line, old, new):
        self._path = pathlib.Path(path)
        self._before = self._path.read_text()
        self._times = self._path.stat()
        lines = self._before.split("\n")
        # Lines above it may have been added or taken away since.
        places = [index for index, text in enumerate(lines) if text == old]
        if not places:
            raise LookupError(f"{path} has no line {old!r} any more")
        lines[min(places, key=lambda index: abs(index - line + 1))] = new
        self._after = "\n".join(lines)

    def __enter__(self):
        self._path.write_text(self._after)

    def __exit__(self, *_):
        self._path.write_text(self._before)
        if self._path.suffix == ".py":  # the compiled module is still good; ninja must see that C++ changed
            os.utime(self._path, ns=(self._times.st_atime_ns, self._times.st_mtime_ns))


def reach(paths):
    """{test file: {source file: [lines]}}, of one run of the fast tests."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parent), "IKELOS_REACH": folder}
        plugin = ["-p", "reach_plugin", "-p", "no:cacheprovider", "-m", "not slow"]
        command = [sys.executable, "-m", "pytest", *plugin, "--numprocesses=2", "--dist=loadfile", *paths]
        subprocess.run(command, cwd=ROOT, env=environment, check=False)
        found = {}
        for part in sorted(pathlib.Path(folder).glob("*.json")):
            for test_file, by_path in read(part).items():
                lines = found.setdefault(test_file, {})
                for path, numbers in by_path.items():
                    lines[path] = sorted({*lines.get(path, ()), *numbers})
    return found


def in_functions(path):
    """The lines of a module that run when it is used, not when it is imported."""
    functions = [
        x for x in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(x, ast.FunctionDef | ast.Lambda)
    ]
    bodies = [(x.body, x.body) if isinstance(x, ast.Lambda) else (x.body[0], x.body[-1]) for x in functions]
    return {line for first, last in bodies for line in range(first.lineno, last.end_lineno + 1)}


def mirrors(path):
    """The test file of a source file; without one, those of the nearest folder that has any."""
    source = pathlib.PurePath(path)
    exact = pathlib.PurePath("tests", source.parent, f"test_{source.stem}.py")
    if (ROOT / exact).exists():
        return [str(exact)]
    for folder in exact.parents:
        found = sorted((ROOT / folder).glob("test_*.py"))
        if found:
            return [relative(file) for file in found]
    return []


# Modules of `kernels/` whose native ops have files of their names in `kernels/csrc/`.
OPS = ("attention", "cached_attention", "dense", "recurrent", "rms_norm", "rotary", "swiglu")


def test_files(mutant, reached):
    """Those that reach a mutant, its mirror first, then the nearest."""
    path, line = mutant["file"], mutant["line"]
    if path.endswith(".py"):
        inside = in_functions(path)
        # Only the first file that imports a module reaches what is outside its functions.
        lines = {line} if line in inside else inside
        hit = {file for file, by_path in reached.items() if lines & set(by_path.get(path, ()))}
        # A graph may be made of code that autograph wrote anew, whose lines are not the module's.
        hit = hit or {file for file, by_path in reached.items() if inside & set(by_path.get(path, ()))}
        first = mirrors(path)
    else:
        # Other files, such as the products of matrices, serve every op.
        op = next((name for name in OPS if pathlib.PurePath(path).name.startswith(name)), "")
        wrappers = [f"kernels/{name}.py" for name in ([op] if op else OPS)]
        inside = {wrapper: in_functions(wrapper) for wrapper in wrappers}
        hit = {
            file
            for file, by_path in reached.items()
            if any(lines & set(by_path.get(wrapper, ())) for wrapper, lines in inside.items())
        }
        ours = [relative(file) for file in sorted((ROOT / "tests/kernels").rglob(f"test_{op}*.py"))]
        core = ["tests/kernels/test_core.py"] if "csrc/core" in path else []
        first = [*(file for file in ours if file not in core), *core]

    def distance(file):
        folders = [pathlib.PurePath("tests", path).parent, pathlib.PurePath(file).parent]
        return sum(map(len, (x.parts for x in folders))) - 2 * len(os.path.commonpath(folders).split(os.sep)), file

    return [*first, *sorted(hit - set(first), key=distance)]


def run_tests(files, limit):
    """Outcome, the test that failed and seconds."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    kinds = "not slow or core"  # the C++ tests of the core are slow ones
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", kinds, "-p", "no:cacheprovider", *files]
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        # A group of its own, so that what the tests started ends with them.
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", output.read(), re.MULTILINE)
    outcome = {None: "limit", 0: "survived"}.get(code, "caught")
    return {"outcome": outcome, "by": failed and failed[1], "seconds": round(time.monotonic() - start)}


def run(mutants, reached, limit, out):
    results = read(out) if pathlib.Path(out).exists() else {}
    for mutant in mutants:
        if results.get(mutant["id"], {}).get("new") == mutant["new"]:
            continue
        native = not mutant["file"].endswith(".py")
        whole = LIBRARY.with_suffix(".whole")
        if native:
            shutil.copy2(LIBRARY, whole)
        try:
            with mutated(ROOT / mutant["file"], mutant["line"], mutant["old"], mutant["new"]):
                if native:
                    subprocess.run([NINJA, "-C", BUILD, "ikelos"], check=True, stdout=subprocess.DEVNULL)
                    # In a file of its own: a process may have the other open.
                    LIBRARY.unlink()
                    shutil.copy2(BUILD / "libikelos.so", LIBRARY)
                result = run_tests(test_files(mutant, reached), limit)
        finally:
            if native:
                os.replace(whole, LIBRARY)
        results[mutant["id"]] = mutant | result
        write(out, results)
        print(mutant["id"], mutant["file"], mutant["line"], result, flush=True)


def compare(old, new):
    groups = collections.defaultdict(list)
    for name in sorted(old.keys() & new.keys()):
        caught = tuple(results[name]["outcome"] == "caught" for results in (old, new))
        groups[caught].append(name)
    titles = {(True, True): "both", (True, False): "the old tests alone", (False, True): "the new tests alone"}
    for caught in [*titles, (False, False)]:
        print(f"\nCaught by {titles.get(caught, 'neither')}: {len(groups[caught])} of {len(old.keys() & new.keys())}")
        for name in groups[caught]:
            mutant, outcomes = old[name], [f"{x[name]['outcome']} {x[name]['seconds']} s" for x in (old, new)]
            print(
                f"- {name} {mutant['file']}:{mutant['line']} {mutant['what']} (old: {outcomes[0]}, new: {outcomes[1]})"
            )
            print(f"    - {mutant['old'].strip()}\n    + {mutant['new'].strip()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("draw")
    command.add_argument("--room", choices=["kernels", "layers", "serving", "pipelines"], required=True)
    command.add_argument("--count", type=int, required=True)
    command.add_argument("--cpp", type=int, default=0)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", required=True)
    command = commands.add_parser("reach")
    command.add_argument("paths", nargs="+")
    command.add_argument("--out", required=True)
    command = commands.add_parser("run")
    command.add_argument("--mutants", required=True)
    command.add_argument("--reach", required=True)
    command.add_argument("--limit", type=float, default=240, help="seconds for the tests of one mutant")
    command.add_argument("--out", required=True)
    command = commands.add_parser("compare")
    command.add_argument("old")
    command.add_argument("new")
    given = parser.parse_args()
    if given.command == "draw":
        write(given.out, draw(given.room, given.count, given.cpp, given.seed))
    elif given.command == "reach":
        write(given.out, reach(given.paths))
    elif given.command == "run":
        run(read(given.mutants), read(given.reach), given.limit, given.out)
    else:
        compare(read(given.old), read(given.new))


if __name__ == "__main__":
    main()
