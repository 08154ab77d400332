"""Any sequence of what one can do with a stream, against whole clips.

Two machines, for encoders and decoders. Each keeps, for every row, what it has put in since the row began and what came
out. At any time the output must be that of a whole clip of the same input, bit for bit.
"""

from abc import abstractmethod

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import signals
from mimi_codec import Mimi
from mimi_codec.errors import AudioError, CodesError, InputTypeError, MimiError, StreamError

ROWS = 3
seeds = st.integers(0, 2**32 - 1)
masks = st.one_of(st.none(), st.lists(st.booleans(), min_size=ROWS, max_size=ROWS))


class StreamMachine(RuleBasedStateMachine):
    """What both kinds of stream have in common."""

    mimi: Mimi
    operations = 0

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def begin(self, rows: int) -> None:
        self.rows = rows
        self.stream = self.fresh()

    @abstractmethod
    def fresh(self):
        """A stream that has seen nothing."""

    @abstractmethod
    def restart(self, row: int) -> None:
        """Forget what the row was given."""

    @abstractmethod
    def disturb(self, stream) -> None:
        """Push something else into a stream that is not the one under test."""

    def active(self, mask: list[bool] | None) -> tuple[np.ndarray | None, list[int]]:
        """A mask for this number of rows, and the rows it names."""
        if mask is None:
            return None, list(range(self.rows))
        cut = np.array(mask[: self.rows])
        return cut, np.flatnonzero(cut).tolist()

    def refused(self, errors: tuple[type[MimiError], ...], call) -> None:
        """The call is refused, and the stream is as before."""
        before = self.stream.save()
        try:
            call()
        except errors:
            assert self.stream.save() == before, "a call that failed has changed the stream"
        else:
            raise AssertionError("a call that must fail did not")

    @precondition(lambda self: self.rows)
    @rule(mask=masks)
    def reset(self, mask):
        mask, rows = self.active(mask)
        self.stream.reset(mask)
        for row in rows:
            self.restart(row)

    @precondition(lambda self: self.rows)
    @rule(keep=st.booleans())
    def copy(self, keep):
        """Go on with the copy or the original; what happens to the other must not matter."""
        other = self.stream.copy()
        assert other.save() == self.stream.save()
        self.stream, other = (self.stream, other) if keep else (other, self.stream)
        self.disturb(other)

    @precondition(lambda self: self.rows)
    @rule(used=st.booleans())
    def save_and_load(self, used):
        other = self.fresh()
        if used:
            self.disturb(other)
        state = self.stream.save()
        other.load(state)
        assert other.save() == state
        self.stream = other

    @precondition(lambda self: self.rows)
    @rule(seed=seeds)
    def load_nonsense(self, seed):
        state = self.stream.save()
        cut = state[: seed % len(state)]
        self.refused((StreamError,), lambda: self.stream.load(cut))
        self.refused((InputTypeError,), lambda: self.stream.load(None))

    @precondition(lambda self: self.rows)
    @rule(size=st.sampled_from([0, ROWS + 1]))
    def mask_of_another_size(self, size):
        self.refused((StreamError,), lambda: self.stream.reset(np.ones(size, bool)))


class EncoderMachine(StreamMachine):
    """Samples in, codes out."""

    @initialize(rows=st.integers(1, ROWS), codebooks=st.integers(1, 6))
    def start(self, rows, codebooks):
        self.codebooks = codebooks = min(codebooks, self.mimi.num_codebooks)
        self.samples = [np.zeros(0, np.float32)] * rows
        self.codes = [np.zeros((codebooks, 0), np.int64)] * rows
        self.ended = [False] * rows
        self.begin(rows)

    def fresh(self):
        return self.mimi.encoder_stream(batch_size=self.rows, num_codebooks=self.codebooks)

    def restart(self, row):
        self.samples[row] = self.samples[row][:0]
        self.codes[row] = self.codes[row][:, :0]
        self.ended[row] = False

    def disturb(self, stream):
        stream.reset()
        stream.push(signals.noise(37, rows=self.rows))
        stream.flush()

    @precondition(lambda self: self.rows)
    @rule(length=st.one_of(st.integers(0, 70), st.sampled_from([0, 15, 16, 17, 48, 640])), mask=masks, seed=seeds)
    def push(self, length, mask, seed):
        mask, rows = self.active(mask)
        pcm = signals.noise(length, rows=self.rows, seed=seed)
        for row in set(range(self.rows)) - set(rows):
            pcm[row] = np.nan  # what rests is not looked at
        if any(self.ended[row] for row in rows):
            self.refused((StreamError,), lambda: self.stream.push(pcm, active=mask))
            return
        codes = self.stream.push(pcm, active=mask)
        for row in rows:
            self.samples[row] = np.concatenate([self.samples[row], pcm[row, 0]])
        self.take(codes, rows)

    @precondition(lambda self: self.rows)
    @rule(mask=masks)
    def flush(self, mask):
        mask, rows = self.active(mask)
        if any(self.ended[row] for row in rows):
            self.refused((StreamError,), lambda: self.stream.flush(active=mask))
            return
        codes = self.stream.flush(active=mask)
        for row in rows:
            self.ended[row] = True
        self.take(codes.reshape(self.rows, self.codebooks, -1), rows)

    @precondition(lambda self: self.rows)
    @rule(bad=st.sampled_from([np.nan, np.inf, -np.inf]), length=st.integers(1, 40), seed=seeds)
    def push_what_is_not_finite(self, bad, length, seed):
        pcm = signals.noise(length, rows=self.rows, seed=seed)
        pcm[seed % self.rows, 0, seed % length] = bad
        self.refused((AudioError, StreamError), lambda: self.stream.push(pcm))

    @precondition(lambda self: self.rows)
    @rule()
    def push_other_shapes(self):
        for pcm in (np.zeros((self.rows + 1, 1, 20)), np.zeros((self.rows, 2, 20)), np.zeros((2, 20))):
            self.refused((AudioError,), lambda pcm=pcm: self.stream.push(pcm))
        self.refused((InputTypeError,), lambda: self.stream.push(np.zeros((self.rows, 1, 20), np.int32)))

    def take(self, codes, rows):
        """Append a row's codes; what lies beyond them is -1, all of it in a row that rests."""
        hop = self.mimi.frame_size
        for row in range(self.rows):
            wanted = -(-len(self.samples[row]) // hop) if self.ended[row] else len(self.samples[row]) // hop
            new = wanted - self.codes[row].shape[1] if row in rows else 0
            assert (codes[row, :, new:] == -1).all()
            self.codes[row] = np.concatenate([self.codes[row], codes[row, :, :new]], axis=1)
            assert self.codes[row].shape[1] == wanted

    @precondition(lambda self: self.rows)
    @invariant()
    def equals_whole_clips(self):
        type(self).operations += 1
        hop = self.mimi.frame_size
        frames, pending = [], []
        for samples, codes, ended in zip(self.samples, self.codes, self.ended, strict=True):
            whole = samples if ended else samples[: len(samples) // hop * hop]
            np.testing.assert_array_equal(codes, self.mimi.encode(whole, num_codebooks=self.codebooks))
            frames.append(codes.shape[1])
            pending.append(len(samples) - len(whole))
        assert (self.stream.frames, self.stream.pending) == (frames, pending)


class DecoderMachine(StreamMachine):
    """Codes in, samples out."""

    @initialize(rows=st.integers(1, ROWS))
    def start(self, rows):
        self.pieces: list[list[np.ndarray]] = [[] for _ in range(rows)]
        self.audio = [np.zeros(0, np.float32)] * rows
        self.begin(rows)

    def fresh(self):
        return self.mimi.decoder_stream(batch_size=self.rows)

    def restart(self, row):
        self.pieces[row] = []
        self.audio[row] = self.audio[row][:0]

    def disturb(self, stream):
        stream.push(np.full((self.rows, 3, 5), 7))

    @precondition(lambda self: self.rows)
    @rule(frames=st.one_of(st.integers(0, 5), st.just(40)), mask=masks, seed=seeds)
    def push(self, frames, mask, seed):
        mask, rows = self.active(mask)
        codes = np.random.default_rng(seed).integers(
            0, self.mimi.codebook_size, (self.rows, self.mimi.num_codebooks, frames)
        )
        for row in set(range(self.rows)) - set(rows):
            codes[row] = -1  # what rests is not looked at
        audio = self.stream.push(codes, active=mask)
        assert audio.shape == (self.rows, 1, frames * self.mimi.frame_size)
        for row in range(self.rows):
            if row in rows:
                self.pieces[row].append(codes[row])
                self.audio[row] = np.concatenate([self.audio[row], audio[row, 0]])
            else:
                assert (audio[row] == 0).all()

    @precondition(lambda self: self.rows)
    @rule(bad=st.sampled_from([-2, 2048, 2**40]), frames=st.integers(1, 4), seed=seeds)
    def push_codes_out_of_range(self, bad, frames, seed):
        codes = np.zeros((self.rows, self.mimi.num_codebooks, frames), np.int64)
        codes[seed % self.rows, seed % self.mimi.num_codebooks, seed % frames] = bad
        self.refused((CodesError,), lambda: self.stream.push(codes))

    @precondition(lambda self: self.rows)
    @rule()
    def push_other_shapes(self):
        most = self.mimi.num_codebooks
        for shape in ((self.rows + 1, most, 2), (self.rows, most + 1, 2), (self.rows, 0, 2), (most,)):
            self.refused((CodesError,), lambda shape=shape: self.stream.push(np.zeros(shape, np.int64)))
        self.refused((InputTypeError,), lambda: self.stream.push(np.zeros((self.rows, most, 2))))

    @precondition(lambda self: self.rows)
    @invariant()
    def equals_whole_clips(self):
        type(self).operations += 1
        for pieces, audio in zip(self.pieces, self.audio, strict=True):
            codes = np.concatenate([np.zeros((self.mimi.num_codebooks, 0), np.int64), *pieces], axis=1)
            np.testing.assert_array_equal(audio, self.mimi.decode(codes))
        assert self.stream.frames == [sum(piece.shape[1] for piece in pieces) for pieces in self.pieces]


def machines(mimi: Mimi) -> list[type[StreamMachine]]:
    """Both machines over a model of small codebooks."""
    return [type(kind.__name__, (kind,), {"mimi": mimi, "operations": 0}) for kind in (EncoderMachine, DecoderMachine)]


def run(sequences: int, mimi: Mimi, steps: int = 50, seed: int | None = None) -> int:
    """Run so many sequences of operations on either kind of stream; gives the number of operations."""
    checks = list(HealthCheck)
    phases = [Phase.generate, Phase.shrink]
    plan = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=checks,
        phases=phases,
        derandomize=seed is None,
    )
    total = 0
    for machine in machines(mimi):
        make = machine if seed is None else hypothesis.seed(seed)(machine)
        run_state_machine_as_test(make, settings=plan)
        total += machine.operations
    return total
