"""The loop of a campaign: every case follows from the campaign's seed and its own number."""

import faulthandler
import random
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Protocol

from mimi_codec.errors import MimiError

WATCHDOG = 300  # seconds for a thousand cases; the slowest target takes a few, on a busy machine many more


class Target(Protocol):
    """A reader of what may be damaged."""

    name: str

    def make(self, rng: random.Random) -> object:
        """A damaged input."""

    def check(self, case: object) -> None:
        """Read it: returns if it was accepted and is right, raises a `MimiError` if it was refused."""


class Fault(AssertionError):
    """A case that ended neither in a right answer nor in a typed error."""


def run(target: Target, runs: int, seed: int = 0, first: int = 0) -> Counter[str]:
    """Run the cases from `first` on and count their outcomes. Raises `Fault` with the number of a case that fails.

    A case that hangs ends the process with a trace of where it does.
    """
    outcomes: Counter[str] = Counter()
    rng = random.Random()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning of NumPy is a value that nobody has checked
            for number in range(first, first + runs):
                if number % 1000 == 0:
                    faulthandler.dump_traceback_later(WATCHDOG, exit=True)
                rng.seed(seed << 40 | number)
                outcomes[_outcome(target, rng, f"{target.name}, seed {seed}, case {number}")] += 1
    finally:
        faulthandler.cancel_dump_traceback_later()
    return outcomes


def _outcome(target: Target, rng: random.Random, what: str) -> str:
    case = target.make(rng)
    try:
        target.check(case)
    except MimiError as error:
        if len(str(error)) > 2000:
            raise Fault(f"{what}: a message of {len(str(error))} characters: {str(error)[:200]}") from error
        return type(error).__name__
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of the extension is no Exception
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}: {place.line}"
        raise Fault(f"{what}: {type(error).__name__} {str(error)[:500]} at {where}") from error
    return "accepted"
