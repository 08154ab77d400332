"""Short campaigns, the same at every run; `python tests/fuzz/run.py` makes long ones."""

import random
from contextlib import closing

import pytest
import stream_machine
from campaign import Fault, run
from target_family import KINDS, FamilyWeights
from target_model import States, Weights
from target_packed import PackedFiles
from target_sound import FORMATS, Sounds
from target_tokens import CHANGES, TokenFiles

from mimi_codec.errors import LoadError


@pytest.mark.parametrize("kind", CHANGES)
def test_token_files(kind):
    outcomes = run(TokenFiles(kind), 1500)
    assert outcomes["accepted"] > 10
    assert outcomes["LoadError"] > 500


@pytest.mark.parametrize("kind", FORMATS)
def test_sounds(kind):
    outcomes = run(Sounds(kind), 600)
    assert set(outcomes) == {"accepted", "AudioError"}


def test_states():
    outcomes = run(States(), 3000)
    assert outcomes["accepted"] > 100
    assert outcomes["StreamError"] > 1000


def test_weights():
    with closing(Weights()) as target:
        outcomes = run(target, 1500)
    assert outcomes["accepted"] > 100
    assert outcomes["LoadError"] > 500
    assert outcomes["ConfigError"] > 50
    assert outcomes["WeightsError"] > 20


def test_packed_files():
    with closing(PackedFiles()) as target:
        outcomes = run(target, 1500)
    assert outcomes["accepted"] > 50
    assert outcomes["LoadError"] > 500


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_the_family(kind):
    with closing(FamilyWeights(kind)) as target:
        outcomes = run(target, 400)
    assert outcomes["accepted"] > 20
    assert outcomes["LoadError"] > 100
    assert outcomes["ConfigError"] > 10


@pytest.mark.timeout(300)
def test_sequences_on_streams(tiny):
    """Any pushes, flushes, resets, copies, saved states and errors, in any order, equal whole clips."""
    assert stream_machine.run(30, tiny, steps=30) > 1000


class TestCampaign:
    """The campaign itself sees what it is to see."""

    class Target:
        name = "target"

        def __init__(self, answer):
            self.answer = answer

        def make(self, rng: random.Random) -> float:
            return rng.random()

        def check(self, case: float) -> None:
            if case < 0.1:
                self.answer()

    def test_outcomes_and_their_order_follow_from_the_seed(self):
        def refuse():
            raise LoadError("no")

        outcomes = run(self.Target(refuse), 1000, seed=3)
        assert set(outcomes) == {"accepted", "LoadError"}
        assert run(self.Target(refuse), 1000, seed=3) == outcomes
        halves = [run(self.Target(refuse), 500, seed=3, first=first) for first in (0, 500)]
        assert halves[0] + halves[1] == outcomes

    @pytest.mark.parametrize("error", [KeyError, MemoryError, AssertionError, SystemError, UserWarning, GeneratorExit])
    def test_any_other_error_is_a_fault(self, error):
        def fail():
            raise error("what came")

        with pytest.raises(Fault, match=rf"target, seed 0, case \d+: {error.__name__}.*what came"):
            run(self.Target(fail), 1000)

    def test_a_message_without_end_is_a_fault(self):
        def chatter():
            raise LoadError("x" * 10_000)

        with pytest.raises(Fault, match="10000 characters"):
            run(self.Target(chatter), 1000)
