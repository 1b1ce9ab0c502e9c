"""Checks whether two runs of one recipe ended with the same weights, bit by bit: for changes that should change none.

    ikelos run RECIPE --workdir before --set training.deterministic=true --set training.steps=20   # on each commit
    python benchmarks/same_weights.py before after

Compares every variable of the newest checkpoints of all stages, those of the optimizers included, and ends with status
1 if one differs.
"""

import pathlib
import sys

import numpy as np


def newest(stage):
    with np.load(max((stage / "checkpoints").glob("step-*.npz"))) as file:
        return {name: file[name] for name in file.files if name != "about"}


def differences(before, after):
    """Returns the names of the variables that differ, stage by stage, and the number of all variables."""
    different, count = [], 0
    stages = [sorted(path.name for path in (folder / "stages").iterdir()) for folder in (before, after)]
    if stages[0] != stages[1]:
        sys.exit(f"The runs must have the same stages. Received: {stages[0]} and {stages[1]}")
    for stage in stages[0]:
        first, second = (newest(folder / "stages" / stage) for folder in (before, after))
        count += len(first)
        for name in sorted(first.keys() | second.keys()):
            same = name in first and name in second and first[name].dtype == second[name].dtype
            if not same or first[name].tobytes() != second[name].tobytes():
                different.append(f"{stage}/{name}")
    return different, count


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    different, count = differences(*map(pathlib.Path, sys.argv[1:]))
    for name in different[:10]:
        print(f"differs: {name}")
    print(f"{count - len(different)} of {count} variables are the same, bit by bit")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
