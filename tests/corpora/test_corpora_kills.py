"""Processes that end in the middle: nothing is torn, nothing is done twice, and the same call again does the rest."""

import os
import random
import signal
import threading
import time
from functools import partial

import pytest

from corpus import SHARDS, K, check, shards_of
from mimi_codec.corpora import commit, status, tokenize
from mimi_codec.corpora.claims import Claim

FORMATS = ("parquet", "webdataset", "files")
WATCHDOG = 60  # seconds; a child that takes longer hangs


def run(items, out, model, **options):
    return tokenize(items, out, model, num_codebooks=K, shards=SHARDS, **options)


def forked(work) -> int:
    """Do `work` in a child of this process, and give the child's number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def wait_for(child: int) -> int:
    """The signal that ended a child, or 0."""
    end = time.monotonic() + WATCHDOG
    while time.monotonic() < end:
        found, state = os.waitpid(child, os.WNOHANG)
        if found:
            return os.WTERMSIG(state) if os.WIFSIGNALED(state) else 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@pytest.mark.parametrize("file_format", FORMATS)
def test_killed_at_random_moments(clips, quick, tmp_path, file_format):
    """Twenty times, for all formats together. When that is in the run depends on the machine; the result does not."""
    out, dice = tmp_path / "out", random.Random(file_format)
    ended = []
    for _ in range(8 if file_format == "parquet" else 6):
        child = forked(lambda: run(clips, out, quick, file_format=file_format, jobs=2))
        time.sleep(dice.uniform(0, 0.12))
        os.kill(child, signal.SIGKILL)
        ended.append(wait_for(child))
        # What is there is whole already now.
        if (out / "plan.json").exists():
            assert status(out).clips <= 24
    assert signal.SIGKILL in ended
    summary = run(clips, out, quick, file_format=file_format, jobs=2)
    assert summary.complete
    check(out, clips, quick)
    assert all(name.startswith("shard-") for name in shards_of(out)), "something of a killed process is left"


@pytest.mark.parametrize("file_format", ["parquet", "files"])
@pytest.mark.parametrize("step", ["fsync", "link", "unlink"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_each_step_of_a_commit(clips, quick, tmp_path, monkeypatch, file_format, step, after):
    """At the third shard's, so that there are whole shards beside it; the plan is one commit more."""
    out = tmp_path / "out"
    owner = commit.os if step != "unlink" else type(out)
    original, calls = getattr(owner, step), []

    def deadly(target, *rest, **options):
        counted = step == "fsync" or "shard-" in str(target)
        calls.extend([1] if counted else [])
        if len(calls) == 4 and counted and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        given = original(target, *rest, **options)
        if len(calls) == 4 and counted:
            os.kill(os.getpid(), signal.SIGKILL)
        return given

    def work():
        monkeypatch.setattr(owner, step, deadly)
        run(clips, out, quick, file_format=file_format)

    assert wait_for(forked(work)) == signal.SIGKILL
    before = {name: data for name, data in shards_of(out).items() if name.startswith("shard-")}
    assert len(before) < SHARDS
    run(clips, out, quick, file_format=file_format)
    after_all = shards_of(out)
    assert {name: after_all[name] for name in before} == before
    assert len(after_all) == SHARDS
    check(out, clips, quick)


@pytest.mark.parametrize("file_format", FORMATS)
def test_two_processes_share_the_work(clips, quick, tmp_path, file_format):
    """Without ranks: each shard is made by one of them, and each ends when all are there."""
    out = tmp_path / "out"

    def work(mark):
        (tmp_path / mark).write_text(str(run(clips, out, quick, file_format=file_format).shards))

    children = [forked(partial(work, mark)) for mark in ("one", "two", "three")]
    assert [wait_for(child) for child in children] == [0, 0, 0]
    made = [int((tmp_path / mark).read_text()) for mark in ("one", "two", "three")]
    assert sum(made) == SHARDS
    check(out, clips, quick)
    assert len(shards_of(out)) == SHARDS


@pytest.mark.parametrize("file_format", FORMATS)
def test_two_processes_without_locks(clips, quick, tmp_path, monkeypatch, file_format):
    """Where files cannot be locked, both make every shard, and the first to commit it wins."""
    monkeypatch.setattr("mimi_codec.corpora.claims.fcntl", None)
    out, summaries = tmp_path / "out", []
    barrier = threading.Barrier(2)

    def work():
        barrier.wait()
        summaries.append(run(clips, out, quick, file_format=file_format))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WATCHDOG)
    assert sum(summary.shards for summary in summaries) == SHARDS
    assert all(summary.complete for summary in summaries)
    check(out, clips, quick)


def test_without_locks_no_file_of_another_process_is_taken_away(clips, quick, tmp_path, monkeypatch):
    monkeypatch.setattr("mimi_codec.corpora.claims.fcntl", None)
    data = tmp_path / "out/data"
    data.mkdir(parents=True)
    written = data / ".shard-00001-of-00005.parquet.1-0.part"
    written.write_bytes(b"half")
    assert run(clips, tmp_path / "out", quick).complete
    assert written.read_bytes() == b"half"


def test_a_file_system_without_hard_links(clips, quick, tmp_path, monkeypatch):
    def link(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(commit.os, "link", link)
    run(clips, tmp_path / "out", quick)
    check(tmp_path / "out", clips, quick)
    target = tmp_path / "there"
    target.write_text("first")
    with pytest.raises(FileExistsError):
        commit.create(target, lambda file: file.write(b"second"))
    assert target.read_text() == "first"


def test_a_claim_is_one_processs_until_it_ends(tmp_path):
    target, ready = tmp_path / "shard", tmp_path / "ready"

    def hold():
        assert Claim.take(target) is not None
        ready.touch()
        time.sleep(WATCHDOG)

    child = forked(hold)
    while not ready.exists():
        time.sleep(0.005)
    assert Claim.take(target) is None
    os.kill(child, signal.SIGKILL)
    wait_for(child)
    claim = Claim.take(target)
    assert claim is not None
    assert Claim.take(target) is None
    claim.release()
    assert list(tmp_path.glob(".*")) == []


def test_a_shard_that_another_process_holds_is_waited_for(clips, quick, tmp_path):
    """It holds one and dies, so that the run makes that one too, after all others."""
    out = tmp_path / "out"
    (out / "data").mkdir(parents=True)
    target, ready = out / "data/shard-00001-of-00005.parquet", tmp_path / "ready"

    def hold():
        Claim.take(target)
        ready.touch()
        while len(list((out / "data").glob("shard-*"))) < SHARDS - 1:
            time.sleep(0.005)

    child = forked(hold)
    while not ready.exists():
        time.sleep(0.005)
    summary = run(clips, out, quick)
    wait_for(child)
    assert summary.shards == SHARDS
    check(out, clips, quick)
