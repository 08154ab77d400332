"""One process among others: threads, fork, Ctrl-C, pickling, what is imported."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import signals
from mimi_codec import Mimi
from mimi_codec.errors import ConfigError, InputTypeError, LoadError

WATCHDOG = 120  # seconds after which a hang is a hang; a failure here is a deadlock, not a slow machine


def random_codes(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).integers(0, 32, (6, frames))


def at_most_all(threads: int) -> int:
    """Of so many threads, those that the processors of this process can run."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(threads, bound)


class TestThreads:
    def test_streams_of_their_own(self, tiny):
        """Eight threads on one model give what eight streams in a row give."""
        clips = [signals.noise(2000 + 7 * i, seed=i) for i in range(8)]

        def run(pcm):
            encoder, decoder = tiny.encoder_stream(), tiny.decoder_stream()
            codes = [encoder.push(pcm[i : i + 50]) for i in range(0, len(pcm), 50)]
            codes = np.concatenate([*codes, encoder.flush()], -1)
            return codes, np.concatenate([decoder.push(codes[:, i : i + 3]) for i in range(0, codes.shape[1], 3)])

        serial = [run(pcm) for pcm in clips]
        with ThreadPoolExecutor(8) as pool:
            parallel = list(pool.map(run, clips, timeout=WATCHDOG))
        for (codes, audio), (expected_codes, expected_audio) in zip(parallel, serial, strict=True):
            np.testing.assert_array_equal(codes, expected_codes)
            np.testing.assert_array_equal(audio, expected_audio)

    @pytest.mark.parametrize("threads", [1, 2])
    def test_whole_clips(self, tiny_dir, tiny, threads):
        """Also where every call asks for the pool of the process at once."""
        shared = Mimi.from_pretrained(tiny_dir, threads=threads)
        clips = [signals.noise(3000, rows=3, seed=i) for i in range(8)]
        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(shared.encode, clips, timeout=WATCHDOG))
        for pcm, found in zip(clips, codes, strict=True):
            np.testing.assert_array_equal(found, tiny.encode(pcm))

    def test_the_embedded_model(self, demo):
        """Whole clips and streams at once, also where PyTorch is not installed."""
        clips = [signals.noise(2 * 1920 + 700 * i, seed=i) for i in range(6)]

        def run(pcm):
            encoder = demo.encoder_stream()
            pushed = np.concatenate([encoder.push(pcm[:1000]), encoder.push(pcm[1000:]), encoder.flush()], -1)
            return pushed, demo.encode(pcm), demo.decode(pushed)

        serial = [run(pcm) for pcm in clips]
        with ThreadPoolExecutor(6) as pool:
            parallel = list(pool.map(run, clips, timeout=WATCHDOG))
        for found, expected in zip(parallel, serial, strict=True):
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has the GIL")
    def test_the_gil_stays_off(self, run_python):
        """An extension that does not say that it can do without turns it on."""
        run_python("import sys, mimi_codec; assert not sys._is_gil_enabled()")

    def test_one_encoder_from_two_threads(self, tiny):
        """Calls are serialised: equal chunks may come in any order, so every order gives the same codes."""
        chunk = signals.noise(40)
        stream = tiny.encoder_stream()
        pieces, barrier = [], threading.Barrier(2)

        def push():
            barrier.wait()
            for _ in range(100):
                pieces.append(stream.push(chunk))

        self.run_both(push)
        frames = sum(piece.shape[1] for piece in pieces)
        assert frames == stream.frames[0] == 200 * 40 // 16
        whole = tiny.encode(np.tile(chunk, 200))
        # Threads append in another order than they were served, so compare what they got as a collection.
        found = sorted(column for piece in pieces for column in piece.T.tolist())
        assert found == sorted(whole.T.tolist())

    def test_one_decoder_from_two_threads(self, tiny):
        codes = random_codes(4)
        stream = tiny.decoder_stream()
        barrier = threading.Barrier(2)

        def push():
            barrier.wait()
            for _ in range(100):
                assert stream.push(codes).shape == (64,)

        self.run_both(push)
        assert stream.frames == [800]
        serial = tiny.decoder_stream()
        serial.push(np.tile(codes, 200))
        assert stream.save() == serial.save()

    @staticmethod
    def run_both(work):
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(work), pool.submit(work)]:
                done.result(timeout=WATCHDOG)

    def test_the_interpreter_goes_on_meanwhile(self, demo, speech):
        """The GIL is released: another thread runs Python code while one long call encodes."""
        started, done = threading.Event(), threading.Event()

        def encode():
            started.set()
            demo.encode(np.tile(speech, 5))
            done.set()

        worker = threading.Thread(target=encode)
        worker.start()
        started.wait(WATCHDOG)
        steps = 0
        while not done.is_set():
            steps += 1
            done.wait(0.001)
        worker.join(WATCHDOG)
        # With the GIL held, the loop could turn only before and after the call: a few times, not for its whole length.
        assert steps > 20

    def test_number_from_the_environment(self, run_python, tiny_dir):
        script = "import sys, mimi_codec; print(mimi_codec.Mimi.from_pretrained(sys.argv[1]).threads)"
        assert run_python(script, tiny_dir, MIMI_NUM_THREADS="2").strip() == str(at_most_all(2))
        assert run_python(script, tiny_dir, MIMI_NUM_THREADS="").strip() == "1"

    def test_the_argument_wins(self, tiny_dir, monkeypatch):
        monkeypatch.setenv("MIMI_NUM_THREADS", "3")
        assert Mimi.from_pretrained(tiny_dir).threads == at_most_all(3)
        assert Mimi.from_pretrained(tiny_dir, threads=2).threads == at_most_all(2)

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
    def test_no_more_than_there_are_processors(self, run_python, tiny_dir):
        """A process bound to one processor uses one thread, however many it asks for."""
        script = """
            import os, sys
            import mimi_codec
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            print(mimi_codec.Mimi.from_pretrained(sys.argv[1], threads=8).threads)
        """
        assert run_python(script, tiny_dir).strip() == "1"

    @pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", str(2**63), str(2**64), "9" * 5000])
    def test_nonsense_in_the_environment(self, tiny_dir, monkeypatch, text):
        monkeypatch.setenv("MIMI_NUM_THREADS", text)
        with pytest.raises(ConfigError, match=f"MIMI_NUM_THREADS.*'{text[:20]}"):
            Mimi.from_pretrained(tiny_dir)

    @pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
    def test_one_thread_by_default(self, run_python, tiny_dir):
        """No pool of threads is made unless it is asked for."""
        script = """
            import os, sys
            import numpy as np
            import mimi_codec
            before = len(os.listdir("/proc/self/task"))
            mimi = mimi_codec.Mimi.from_pretrained(sys.argv[1], threads=int(sys.argv[2]))
            mimi.decode(mimi.encode(np.zeros((4, 1, 5000), np.float32)))
            print(len(os.listdir("/proc/self/task")) - before)
        """
        assert int(run_python(script, tiny_dir, 1)) == 0
        assert int(run_python(script, tiny_dir, 2)) <= 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
class TestFork:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_child_encodes_too(self, run_python, tiny_dir, threads):
        """The parent has used its threads; they do not exist in the child, which must not wait for them."""
        script = """
            import os, signal, sys
            import numpy as np
            import mimi_codec

            mimi = mimi_codec.Mimi.from_pretrained(sys.argv[1], threads=int(sys.argv[2]))
            pcm = np.random.default_rng(0).standard_normal((4, 1, 5000)).astype(np.float32) / 10
            stream = mimi.encoder_stream()
            stream.push(pcm[0, 0, :100])
            codes = mimi.encode(pcm)
            audio = mimi.decode(codes)
            rest = stream.copy().push(pcm[0, 0, 100:])
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # a hang kills the child
                same = np.array_equal(mimi.encode(pcm), codes) and np.array_equal(mimi.decode(codes), audio)
                same &= np.array_equal(stream.push(pcm[0, 0, 100:]), rest)
                os._exit(0 if same else 1)
            status = os.waitpid(child, 0)[1]
            assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"
            assert np.array_equal(mimi.encode(pcm), codes)
        """
        run_python(script, tiny_dir, threads, timeout=WATCHDOG)

    def test_a_pool_of_forked_workers(self, run_python, tiny_dir):
        script = """
            import multiprocessing, sys
            import numpy as np
            import mimi_codec

            mimi = mimi_codec.Mimi.from_pretrained(sys.argv[1], threads=2)
            clips = [np.full((2, 1, 900), i / 10, np.float32) for i in range(4)]
            expected = [mimi.encode(pcm) for pcm in clips]
            with multiprocessing.get_context("fork").Pool(2) as pool:
                found = pool.map_async(mimi.encode, clips).get(60)
            assert all(map(np.array_equal, found, expected))
        """
        run_python(script, tiny_dir, timeout=WATCHDOG)


class TestInterrupt:
    SCRIPT = """
        import signal, sys
        import numpy as np
        import mimi_codec

        mimi = mimi_codec.Mimi.demo(threads=int(sys.argv[2]))
        second = np.random.default_rng(0).standard_normal(24000).astype(np.float32) / 10
        hours = np.broadcast_to(second, (4 * 3600, 24000)).reshape(-1)
        codes = np.zeros((16, 4 * 45000), int)
        encoder, decoder = mimi.encoder_stream(), mimi.decoder_stream()
        encoder.push(second), decoder.push(codes[:, :3])
        states = encoder.save(), decoder.save()
        call = {
            "encode": lambda: mimi.encode(hours),
            "decode": lambda: mimi.decode(codes),
            "encoder push": lambda: encoder.push(hours),
            "decoder push": lambda: decoder.push(codes),
        }[sys.argv[1]]
        expected = mimi.encode(second)

        def beat(signum, frame, before=[]):
            # Twice at one instruction of a method of the package: the call to the extension has not returned.
            here = frame, frame.f_lasti
            if frame.f_code.co_name in ("encode", "decode", "push") and before == [here]:
                signal.setitimer(signal.ITIMER_REAL, 0)
                print("inside", flush=True)
            before[:] = [here]

        signal.signal(signal.SIGALRM, beat)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        try:
            call()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        assert np.array_equal(mimi.encode(second), expected)
        assert (encoder.save(), decoder.save()) == states
        print("usable", flush=True)
    """

    @pytest.mark.parametrize("call", ["encode", "decode", "encoder push", "decoder push"])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_ctrl_c(self, call, threads, tmp_path):
        """Hours of audio end at once, streams are as before the call, the model goes on."""
        command = [sys.executable, "-c", textwrap.dedent(self.SCRIPT), call, str(threads)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as run:
            try:
                assert run.stdout.readline() == "inside\n", run.stderr.read()
                run.send_signal(signal.SIGINT)
                # The watchdog is far above the aim of half a second and far below the length of the call.
                out, error = run.communicate(timeout=20)
            finally:
                run.kill()
        assert out == "interrupted\nusable\n", error
        assert run.returncode == 0


class TestPickling:
    def test_model(self, tiny, tiny_dir):
        options = {"parts": "encoder", "num_codebooks": 3, "threads": 2, "dtype": "bfloat16"}
        for mimi in (tiny, Mimi.from_pretrained(tiny_dir, **options)):
            again = pickle.loads(pickle.dumps(mimi))
            assert repr(again) == repr(mimi)
            np.testing.assert_array_equal(again.encode(signals.noise(99)), mimi.encode(signals.noise(99)))

    def test_demo(self, demo):
        again = pickle.loads(pickle.dumps(demo))
        np.testing.assert_array_equal(again.encode(signals.noise(4000)), demo.encode(signals.noise(4000)))

    def test_a_pickle_holds_no_weights(self, tiny):
        assert len(pickle.dumps(tiny)) < 2000

    def test_a_relative_path_survives_another_directory(self, tiny_dir, monkeypatch, tmp_path):
        monkeypatch.chdir(tiny_dir.parent)
        data = pickle.dumps(Mimi.from_pretrained(tiny_dir.name))
        monkeypatch.chdir(tmp_path)
        assert pickle.loads(data).num_codebooks == 6

    def test_a_path_that_is_gone(self, copy):
        data = pickle.dumps(Mimi.from_pretrained(copy))
        copy.rename(copy.with_name("elsewhere"))
        with pytest.raises(LoadError, match=rf"no such file or directory: {copy}"):
            pickle.loads(data)

    def test_copies_are_the_model_itself(self, tiny):
        assert copy.copy(tiny) is tiny
        assert copy.deepcopy([tiny])[0] is tiny

    def test_streams_refuse(self, tiny):
        for stream in (tiny.encoder_stream(), tiny.decoder_stream()):
            with pytest.raises(InputTypeError, match=r"save.*load"):
                pickle.dumps(stream)
            assert copy.copy(stream).save() == stream.save()

    def test_spawned_workers(self, run_python, tiny_dir, tmp_path):
        """A model crosses to workers that share no memory with the parent."""
        script = tmp_path / "spawning.py"
        script.write_text(
            textwrap.dedent(
                """
                import multiprocessing, sys
                import numpy as np
                import mimi_codec

                if __name__ == "__main__":
                    mimi = mimi_codec.Mimi.from_pretrained(sys.argv[1])
                    clips = [np.full(900, i / 10, np.float32) for i in range(4)]
                    with multiprocessing.get_context("spawn").Pool(2) as pool:
                        found = pool.map_async(mimi.encode, clips).get(100)
                    assert all(np.array_equal(codes, mimi.encode(pcm)) for codes, pcm in zip(found, clips))
                """
            )
        )
        subprocess.run([sys.executable, script, tiny_dir], check=True, timeout=WATCHDOG)


class TestInterpreter:
    def test_imports_are_light(self, run_python):
        """`import mimi_codec` needs NumPy and nothing else of what is not in the standard library."""
        script = """
            import json, sys
            import mimi_codec
            mimi_codec.Mimi.demo()
            heavy = "torch transformers huggingface_hub safetensors soundfile soxr matplotlib tqdm".split()
            print(json.dumps([name for name in heavy if name in sys.modules]))
        """
        assert json.loads(run_python(script)) == []

    def test_exit_with_live_objects(self, run_python):
        """Streams and models may outlive everything else when the interpreter goes."""
        run_python(
            """
            import mimi_codec
            mimi = mimi_codec.Mimi.demo(threads=2)
            streams = [mimi.encoder_stream(), mimi.decoder_stream()]
            streams.append(streams)  # a cycle, left to the end
            """
        )

    def test_streams_keep_their_model(self, tiny_dir):
        stream = Mimi.from_pretrained(tiny_dir).encoder_stream()
        assert stream.push(signals.noise(40)).shape == (6, 2)

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_dropped_models_free_their_memory(self, run_python, tiny_dir):
        """Loading the demo model 60 times must not cost 60 models. One takes about 10 MB."""
        script = """
            import mimi_codec

            def resident():
                return int(open("/proc/self/statm").read().split()[1]) * 4096

            for _ in range(10):
                mimi_codec.Mimi.demo()
            before = resident()
            for _ in range(50):
                mimi_codec.Mimi.demo()
            print(resident() - before)
        """
        assert int(run_python(script)) < 50_000_000  # an allocator keeps a few models' worth, a leak would be 500 MB
