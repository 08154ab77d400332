"""Ray Data on a cluster on this machine: every clip once, also when actors and drivers are killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from local_cluster import start

from corpus import K, ids_of
from mimi_codec import read_sound
from mimi_codec.corpora import read_rows, status
from mimi_codec.errors import ConfigError, InputTypeError
from mimi_codec.ray import MimiDecode, MimiEncode, tokenize

# Ray is not in the test extra, as it is large: .ci/run has it in an overlay.
ray = pytest.importorskip("ray")

WATCHDOG = 120  # seconds
SOON = 30  # in which a plan that cannot work must be refused


class Killed(MimiEncode):
    """The first actor that comes to a second batch is killed in it."""

    def __init__(self, *arguments, sign: str, **options):
        super().__init__(*arguments, **options)
        self.sign, self.calls = Path(sign), 0

    def __call__(self, table):
        self.calls += 1
        made = super().__call__(table)
        if self.calls == 2 and not self.sign.exists():
            self.sign.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return made


ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def check(out: Path, clips: Path, model, failed=()) -> None:
    """Every clip is there once, as `encode` alone makes it."""
    rows = pyarrow.parquet.read_table(out / "data").to_pylist()
    read = {row.id: row for row in read_rows(out)}
    assert len(read) == len(rows)
    assert sorted(row["id"] for row in rows) == sorted(ids_of(clips))
    for row in rows:
        if row["id"] in failed:
            assert row["codes"] is None
            continue
        assert row["error"] is None, row
        pcm = read_sound(clips / row["id"], 24000).samples
        np.testing.assert_array_equal(row["codes"], read[row["id"]].frames)
        np.testing.assert_array_equal(row["codes"], model.encode(pcm, num_codebooks=K))
        assert row["num_samples"] == len(pcm)


def forget(out: Path, done: Path) -> None:
    """Take away some of what is done: the ids, and the file with their rows."""
    ids = set(pyarrow.parquet.read_table(done)["id"].to_pylist())
    done.unlink()
    for path in (out / "data").iterdir():
        if set(pyarrow.parquet.read_table(path)["id"].to_pylist()) & ids:
            path.unlink()


class TestCluster:
    pytestmark = pytest.mark.usefixtures("cluster")

    def test_there_and_back(self, clips, model, quick):
        paths = [str(clips / name) for name in sorted(ids_of(clips))]
        rows = (
            ray.data.from_items([{"path": path} for path in paths], override_num_blocks=4)
            .map_batches(
                MimiEncode,
                fn_constructor_kwargs={"codec": str(model), "num_codebooks": K},
                batch_format="pyarrow",
                batch_size=4,
                compute=ray.data.ActorPoolStrategy(size=1),
                num_cpus=1,
            )
            .map_batches(
                MimiDecode,
                fn_constructor_kwargs={"codec": str(model)},
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=1),
                num_cpus=0.5,
            )
            .take_all()
        )
        assert sorted(row["path"] for row in rows) == paths
        for row in rows:
            pcm = read_sound(row["path"], 24000).samples
            assert len(row["audio"]) == len(pcm)
            assert row["num_frames"] == quick.encode(pcm).shape[1]

    def test_an_actor_knows_what_it_was_given(self, model):
        encode = ray.remote(MimiEncode)
        actor = encode.options(num_cpus=2).remote(str(model))
        threads = ray.get(actor.__ray_call__.remote(lambda self: self._threads))
        ray.kill(actor)
        assert threads == 2

    def test_a_corpus_and_again(self, clips, model, quick, tmp_path):
        out = tmp_path / "out"
        found = tokenize(clips, out, str(model), num_codebooks=K, batch_size=4, rows_per_file=6)
        check(out, clips, quick)
        assert (found.clips, found.failures) == (24, {})
        before = {path: path.stat().st_mtime_ns for path in (out / "data").iterdir()}
        assert len(before) > 1
        assert tokenize(clips, out, str(model), num_codebooks=K, batch_size=4, rows_per_file=6) == found
        assert {path: path.stat().st_mtime_ns for path in (out / "data").iterdir()} == before
        with pytest.raises(ConfigError, match="codebooks is 8 there and 4 here"):
            tokenize(clips, out, str(model), num_codebooks=4)
        with pytest.raises(ConfigError, match="was made on Ray"):
            status(out)

    def test_bad_clips(self, clips, model, quick, tmp_path, monkeypatch):
        import shutil

        monkeypatch.chdir(model.parent)

        root = shutil.copytree(clips, tmp_path / "clips")
        (root / "bad.wav").write_text("not a sound")
        (root / "empty.wav").write_bytes(b"")
        found = tokenize(root, tmp_path / "out", model.name, num_codebooks=K, actors=1)
        check(tmp_path / "out", root, quick, failed=("bad.wav", "empty.wav"))
        assert found.failures == {"empty": 1, "unreadable": 1}

    def test_an_actor_is_killed_in_a_batch(self, clips, model, quick, tmp_path, monkeypatch):
        sign = tmp_path / "killed"

        class Deadly(Killed):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, sign=str(sign), **options)

        monkeypatch.setattr("mimi_codec.ray.run.MimiEncode", Deadly)
        tokenize(clips, tmp_path / "out", str(model), num_codebooks=K, batch_size=3, actors=1)
        assert sign.exists()
        check(tmp_path / "out", clips, quick)

    def test_what_would_wait_for_ever_is_refused(self, clips, model, tmp_path):
        began = time.monotonic()
        with pytest.raises(ConfigError, match="3 actors with 1 CPUs would wait for ever on this cluster"):
            tokenize(clips, tmp_path / "out", str(model), actors=3)
        with pytest.raises(ConfigError, match="1 actors with 1 CPUs and 1 GPUs would wait"):
            tokenize(clips, tmp_path / "out", str(model), actors=1, gpus_per_actor=1)
        assert time.monotonic() - began < SOON
        assert not (tmp_path / "out").exists()

    def test_what_is_not_for_ray(self, clips, model, tmp_path):
        with pytest.raises(ConfigError, match="got 'separate'"):
            tokenize(clips, tmp_path / "out", str(model), channels="separate")
        with pytest.raises(InputTypeError, match="clip 'a' must be a file of its own, got Sound"):
            tokenize([("a", np.zeros(9, np.float32))], tmp_path / "out", str(model))


def test_a_machine_of_two_processors(clips, model, quick, tmp_path):
    """Actors that take both are refused; without a wish the run ends, and again when the filter takes one of them."""
    start(2)
    try:
        began = time.monotonic()
        for wish in ({"actors": 2}, {"actors": 1, "cpus_per_actor": 2}):
            with pytest.raises(ConfigError, match="would wait for ever on this cluster of 1 node with 2 CPUs"):
                tokenize(clips, tmp_path / "out", str(model), num_codebooks=K, **wish)
        assert time.monotonic() - began < SOON
        tokenize(clips, tmp_path / "out", str(model), num_codebooks=K, batch_size=8, rows_per_file=8)
        done = sorted((tmp_path / "out/checkpoint").iterdir())
        assert len(done) > 1
        forget(tmp_path / "out", done[0])
        tokenize(clips, tmp_path / "out", str(model), num_codebooks=K, batch_size=8, rows_per_file=8)
        check(tmp_path / "out", clips, quick)
    finally:
        ray.shutdown()


def test_the_driver_is_killed_and_run_again(clips, model, quick, tmp_path):
    """With its whole cluster, when some files are there."""
    script = """
        import sys
        sys.path[:0] = sys.argv[4:]
        import local_cluster
        from mimi_codec.ray import tokenize

        clips, out, model = sys.argv[1:4]
        local_cluster.start(3)
        tokenize(clips, out, model, num_codebooks=8, batch_size=2, rows_per_file=2, actors=1)
    """
    out = tmp_path / "out"
    here = Path(__file__).parent
    command = [sys.executable, "-c", textwrap.dedent(script), clips, out, model, here, here.parent]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True) as driver:
        end = time.monotonic() + WATCHDOG
        while not list(out.glob("data/*.parquet")):
            assert driver.poll() is None or list(out.glob("data/*.parquet"))
            assert time.monotonic() < end
            time.sleep(0.01)
        os.killpg(driver.pid, signal.SIGKILL)
    before = len(list((out / "data").iterdir()))
    assert before < 12
    start(3)
    try:
        tokenize(clips, out, str(model), num_codebooks=K, batch_size=2, rows_per_file=2, actors=1)
    finally:
        ray.shutdown()
    check(out, clips, quick)
