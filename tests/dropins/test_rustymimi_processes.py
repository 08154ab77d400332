"""`mimi_codec.rustymimi` in other processes: forked ones and, by pickling, new ones."""

import copy
import os
import pickle

import numpy as np
import pytest

import signals
from mimi_codec import rustymimi
from mimi_codec.errors import InputTypeError

HOP = 16

# What the forks have in common; the alarm is a watchdog that ends a child which hangs.
BEGIN = """
import os, signal, sys, threading, time
import numpy as np
from mimi_codec import rustymimi
from mimi_codec.errors import StreamError

path, hop = sys.argv[1], 16
pcm = np.random.default_rng(1).uniform(-0.3, 0.3, 8 * hop).astype(np.float32)

def poll(get):
    while (result := get()) is None:
        time.sleep(0.001)
    return result

def in_child(check):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        code = 1
        try:
            check()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def pcm(frames: int, rows: int = 1) -> np.ndarray:
    return signals.noise(frames * HOP, rows=rows, level=0.3)


class TestFork:
    def test_a_stream_tokenizer_goes_on(self, run_python, tiny_dir):
        """All inputs were worked through: the child has the parent's stream, and what was not fetched yet."""
        run_python(
            BEGIN
            + """
tokenizer = rustymimi.StreamTokenizer(path, num_codebooks=4)
whole = rustymimi.Tokenizer(path, num_codebooks=4)
codes = whole.encode(pcm[None, None])[0]
tokenizer.encode(pcm[: 3 * hop])
tokenizer.encode(pcm[3 * hop : 4 * hop])
tokenizer.decode(codes[:, :2].T)
pieces = [poll(tokenizer.get_encoded)]
poll(tokenizer.get_decoded)
while tokenizer._encoding._work.done < 2 or tokenizer._decoding._work.done < 1:
    time.sleep(0.001)

def check():
    tokenizer.encode(pcm[4 * hop :])
    found = np.concatenate([*pieces, poll(tokenizer.get_encoded), poll(tokenizer.get_encoded)], axis=1)
    np.testing.assert_array_equal(found, codes)
    tokenizer.decode(codes[:, 2:].T)
    np.testing.assert_array_equal(poll(tokenizer.get_decoded), whole.decode(codes[None])[0, 0, 2 * hop :])
    assert tokenizer.get_encoded() is tokenizer.get_decoded() is None

in_child(check)
check()  # and so has the parent
""",
            tiny_dir,
        )

    def test_a_fresh_stream_tokenizer(self, run_python, tiny_dir):
        run_python(
            BEGIN
            + """
tokenizer = rustymimi.StreamTokenizer(path, num_codebooks=4)

def check():
    tokenizer.encode(pcm)
    assert poll(tokenizer.get_encoded).shape == (4, 8)

for _ in range(20):
    in_child(check)
""",
            tiny_dir,
        )

    def test_a_busy_stream_tokenizer_says_so(self, run_python, tiny_dir):
        """The thread with the inputs is in the parent, so the child cannot know their results."""
        run_python(
            BEGIN
            + """
tokenizer = rustymimi.StreamTokenizer(path, num_codebooks=4)
entered, leave = threading.Event(), threading.Event()
step = tokenizer._encoding._step

def slow(pcm):
    entered.set()
    leave.wait()
    return step(pcm)

tokenizer._encoding = rustymimi._Worker("slow", slow)
tokenizer.encode(pcm)
entered.wait()

def check():
    for call in (lambda: tokenizer.encode(pcm), tokenizer.get_encoded):
        try:
            call()
        except StreamError as error:
            assert "inputs in work when its process was forked" in str(error)
        else:
            raise AssertionError
    tokenizer.decode(np.zeros((1, 4), int))  # the other half was idle
    assert poll(tokenizer.get_decoded).shape == (hop,)

in_child(check)
leave.set()
assert poll(tokenizer.get_encoded).shape == (4, 8)
""",
            tiny_dir,
        )

    def test_a_tokenizer_in_mid_step(self, run_python, tiny_dir):
        run_python(
            BEGIN
            + """
tokenizer = rustymimi.Tokenizer(path, num_codebooks=4)
codes = tokenizer.encode_step(pcm[None, None])
held, leave = threading.Event(), threading.Event()

def hold():  # as a step does
    with tokenizer._lock:
        held.set()
        leave.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()

def check():
    try:
        tokenizer.encode_step(pcm[None, None])
    except StreamError as error:
        assert "call reset() for a new stream" in str(error)
    else:
        raise AssertionError
    tokenizer.reset()
    np.testing.assert_array_equal(tokenizer.encode_step(pcm[None, None]), codes)

in_child(check)
leave.set()
thread.join()
tokenizer.encode_step(pcm[None, None])
in_child(lambda: tokenizer.encode_step(pcm[None, None]))
""",
            tiny_dir,
        )


class TestPickling:
    @pytest.mark.parametrize("clone", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
    def test_a_tokenizer_with_its_streams(self, tiny_dir, clone):
        tokenizer = rustymimi.Tokenizer(tiny_dir, num_codebooks=4)
        fresh = clone(tokenizer)
        x = pcm(8, rows=2)
        codes = tokenizer.encode(x)
        np.testing.assert_array_equal(fresh.encode(x), codes)
        tokenizer.encode_step(x[..., : 3 * HOP + 5])
        tokenizer.decode_step(codes[..., :3])
        other = clone(tokenizer)
        for each in (tokenizer, other):
            np.testing.assert_array_equal(each.encode_step(x[..., 3 * HOP + 5 :]), codes[..., 3:])
            audio = each.decode_step(codes[..., 3:])
            np.testing.assert_array_equal(audio, tokenizer.decode(codes)[..., 3 * HOP :])
        assert fresh.encode_step(x[..., :HOP]).shape == (2, 4, 1)

    def test_a_stream_tokenizer_says_why_not(self, tiny_dir):
        tokenizer = rustymimi.StreamTokenizer(tiny_dir, num_codebooks=4)
        for clone in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(InputTypeError, match="works in threads of its process"):
                clone(tokenizer)
