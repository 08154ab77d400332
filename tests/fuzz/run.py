"""Long campaigns over readers of files, and long runs of the streams' machine.

    python tests/fuzz/run.py all --runs 1000000 --seed 7
    python tests/fuzz/run.py streams --runs 20000

Prints the outcomes of each target. Ends with exit code 1 at the first case that is neither read right nor refused by a
typed error; the message holds its number, and `--first N --runs 1` runs it again.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import stream_machine
from campaign import Fault, Target, run
from target_family import KINDS, FamilyWeights
from target_model import States, Weights, load_model
from target_packed import PackedFiles
from target_sound import FORMATS, Sounds
from target_tokens import CHANGES, TokenFiles

TARGETS: dict[str, Callable[[], Target]] = {
    "weights": Weights,
    **{f"weights-{kind}": lambda kind=kind: FamilyWeights(kind) for kind in KINDS},
    "packed": PackedFiles,
    "states": States,
    **{f"tokens-{kind}": lambda kind=kind: TokenFiles(kind) for kind in CHANGES},
    **{f"sound-{kind}": lambda kind=kind: Sounds(kind) for kind in FORMATS},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["all", "streams", *TARGETS])
    parser.add_argument("--runs", type=int, default=100_000, help="cases, or sequences of operations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    options = parser.parse_args()
    if options.target == "streams":
        operations = stream_machine.run(options.runs, load_model(), seed=options.seed)
        print(f"streams: {options.runs} sequences for each kind of stream, {operations} operations", flush=True)
        return 0
    for name in TARGETS if options.target == "all" else [options.target]:
        target, start = TARGETS[name](), time.perf_counter()
        try:
            outcomes = run(target, options.runs, options.seed, options.first)
        except Fault as fault:
            print(fault, file=sys.stderr)
            return 1
        counts = ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common())
        print(f"{name}: {options.runs} cases in {time.perf_counter() - start:.0f} s: {counts}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
