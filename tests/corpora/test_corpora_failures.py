"""What goes wrong with a clip stays with the clip; what goes wrong with the disk ends the run with whole shards."""

import errno

import numpy as np
import pytest

import signals
from corpus import SHARDS, K, check, make_clips, shards_of
from mimi_codec.corpora import commit, read_rows, status, tokenize
from mimi_codec.errors import AudioError, NumericError

FORMATS = ("parquet", "webdataset", "files")


def run(items, out, model, **options):
    return tokenize(items, out, model, **{"num_codebooks": K, "shards": SHARDS, **options})


@pytest.fixture
def bad(tmp_path):
    """Good clips among bad ones."""
    import soundfile

    root = make_clips(tmp_path / "clips", 9)
    (root / "nothing.wav").write_bytes(b"")
    (root / "noise.flac").write_bytes(b"fLaC" + bytes(range(256)))
    (root / "text.wav").write_text("not a sound")
    soundfile.write(root / "silent.wav", np.zeros((0, 1)), 24000)
    values = signals.noise(24000 * 20)
    values[24000 * 15] = np.nan
    soundfile.write(root / "nan.wav", values, 24000, subtype="FLOAT")
    (root / "gone.wav").symlink_to(root / "nowhere.wav")
    return root


KINDS = {
    "nothing.wav": "empty: it holds no samples",
    "silent.wav": "empty: it holds no samples",
    "noise.flac": "unreadable: the file cannot be read as audio: ",
    "text.wav": "unreadable: the file cannot be read as audio: ",
    "nan.wav": "samples: ",
    "gone.wav": "missing: there is no such file",
}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("file_format", FORMATS)
def test_bad_clips_fail_alone(bad, quick, tmp_path, file_format, jobs):
    out = tmp_path / "out"
    summary = run([(name, bad / name) for name in names(bad)], out, quick, file_format=file_format, jobs=jobs)
    rows = {row.id: row for row in read_rows(out)}
    assert set(rows) == set(names(bad))
    for name, words in KINDS.items():
        row = rows[name]
        assert row.error.startswith(words), row.error
        assert (row.frames, row.num_frames, row.num_samples, row.channel) == (None, 0, 0, None)
    assert {name for name, row in rows.items() if row.error} == set(KINDS)
    assert summary.failures == status(out).failures == {"empty": 2, "missing": 1, "samples": 1, "unreadable": 2}
    assert summary.examples == {name: rows[name].error for name in sorted(KINDS)}
    assert summary.complete
    assert "6 failed (2 empty, 1 missing, 1 samples, 2 unreadable)" in str(summary)


def names(root):
    return sorted({path.relative_to(root).as_posix() for path in root.rglob("*.wav")} | {"noise.flac"})


def test_a_summary_names_the_first_ten(quick, tmp_path):
    summary = run([(f"{number:02}", b"") for number in range(40)], tmp_path / "out", quick)
    assert summary.failures == {"empty": 40}
    assert list(summary.examples) == [f"{number:02}" for number in range(10)]


@pytest.mark.parametrize("file_format", FORMATS)
def test_failed_clips_can_be_tried_again(bad, quick, tmp_path, file_format):
    """The result is that of a corpus that was good from the beginning, but for what could not be helped."""
    import soundfile

    out, items = tmp_path / "out", [(name, bad / name) for name in names(bad)]
    run(items, out, quick, file_format=file_format)
    assert run(items, out, quick, file_format=file_format).shards == 0
    for number, name in enumerate(["nothing.wav", "text.wav", "nan.wav", "gone.wav", "silent.wav"]):
        soundfile.write(bad / name, signals.noise(4000 + number), 24000)
    again = run(items, out, quick, file_format=file_format, retry_failed=True)
    assert again.failures == {"unreadable": 1}
    assert again.clips == 15
    assert again.complete
    run(items, tmp_path / "other", quick, file_format=file_format)
    assert shards_of(out) == shards_of(tmp_path / "other")
    assert (bad / "nowhere.wav").unlink() is None
    (bad / "gone.wav").unlink()
    once_more = run(items, out, quick, file_format=file_format, retry_failed=True)
    assert once_more.shards == 1
    assert "gone.wav" in {row.id for row in read_rows(out) if row.error is None}, "a good clip is not made again"


def test_retried_clips_with_separate_channels(bad, quick, tmp_path):
    import soundfile

    out, items = tmp_path / "out", [(name, bad / name) for name in names(bad)]
    run(items, out, quick, channels="separate")
    for name in KINDS:
        soundfile.write(bad / name, signals.noise(9000, rows=3)[:, 0].T, 24000, format="WAV")
    run(items, out, quick, channels="separate", retry_failed=True)
    (bad / "nowhere.wav").rename(bad / "gone.wav")
    check(out, bad, quick, channels="separate")


def test_damaged_clips_carry_a_warning_or_fail(quick, tmp_path):
    root = make_clips(tmp_path / "clips", 3)
    path = root / "speaker1/clip0.wav"
    path.write_bytes(path.read_bytes()[:-1000])
    summary = run(root, tmp_path / "out", quick)
    rows = {row.id: row for row in check(tmp_path / "out", root, quick)}
    assert "cut short" in rows["speaker1/clip0.wav"].warning
    assert [row.warning for row in rows.values()].count(None) == 2
    assert (summary.warned, status(tmp_path / "out").warned, summary.failures) == (1, 1, {})
    summary = run(root, tmp_path / "strict", quick, strict=True)
    assert summary.failures == {"unreadable": 1}
    check(tmp_path / "strict", root, quick, failed={"speaker1/clip0.wav"})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory: there is not enough memory"),
        (RuntimeError("a bug"), "unexpected: RuntimeError: a bug"),
        (PermissionError(13, "Permission denied"), "unreadable: Permission denied"),
        (AudioError("x" * 5000), "unreadable: xxx"),
    ],
)
def test_whatever_reading_raises(quick, tmp_path, error, kind):
    def sound():
        raise error

    run([("bad", sound), ("good", np.zeros(4000, np.float32))], tmp_path / "out", quick)
    rows = {row.id: row for row in read_rows(tmp_path / "out")}
    assert rows["bad"].error.startswith(kind)
    assert len(rows["bad"].error) <= 1000
    assert rows["good"].error is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NumericError("overflow"), "numeric: overflow"),
        (MemoryError("no room"), "memory: no room"),
        (KeyError("a bug"), "unexpected: KeyError: 'a bug'"),
    ],
)
@pytest.mark.parametrize("step", ["push", "end"])
def test_whatever_encoding_raises(quick, tmp_path, monkeypatch, error, kind, step):
    """At the second clip, and the third does not notice."""
    from mimi_codec.corpora.coding import Coder

    original, calls = getattr(Coder, step), []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return original(self, *arguments)

    monkeypatch.setattr(Coder, step, failing)
    pcm = signals.noise(9000)
    run([(str(number), pcm) for number in range(3)], tmp_path / "out", quick, shards=1)
    rows = list(read_rows(tmp_path / "out"))
    assert [row.error for row in rows] == [None, kind, None]
    for row in (rows[0], rows[2]):
        np.testing.assert_array_equal(row.frames, quick.encode(pcm, num_codebooks=K))


class TestFullDisk:
    @pytest.mark.parametrize("file_format", FORMATS)
    def test_a_limit_on_the_size_of_files(self, clips, quick, tmp_path, run_python, file_format):
        """The system refuses to write on, as it does on a full disk, at every size that a shard goes through."""
        script = """
            import resource, sys
            from mimi_codec import Mimi
            from mimi_codec.corpora import tokenize

            clips, out, file_format, limits = sys.argv[1:]
            model = Mimi.demo(parts="encoder")
            for limit in map(int, limits.split(",")):
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    tokenize(clips, out, model, num_codebooks=8, shards=5, file_format=file_format)
                except OSError as error:
                    print(error.errno, error.filename)
        """
        out, limits = tmp_path / "out", (10, 1500, 3000, 4000, 6000)
        printed = run_python(script, clips, out, file_format, ",".join(map(str, limits))).splitlines()
        assert len(printed) >= 2
        for line in printed:
            code, name = line.split()
            assert int(code) == errno.EFBIG
            assert name.startswith(str(out))
        if (out / "data").exists():
            assert all(name.startswith("shard-") for name in shards_of(out))
        assert run(clips, out, quick, file_format=file_format).complete
        check(out, clips, quick)

    @pytest.mark.parametrize("step", ["fsync", "link"])
    def test_no_space(self, clips, quick, tmp_path, monkeypatch, step):
        original, calls = getattr(commit.os, step), []

        def full(*arguments):
            calls.append(1)
            if len(calls) == 5:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*arguments)

        monkeypatch.setattr(commit.os, step, full)
        out = tmp_path / "out"
        with pytest.raises(OSError, match=r"No space left on device: .*shard-0000") as raised:
            run(clips, out, quick, jobs=2)
        assert raised.value.errno == errno.ENOSPC
        assert all(name.startswith("shard-") for name in shards_of(out))
        there = len(shards_of(out))
        assert there < SHARDS
        assert run(clips, out, quick).shards_kept == there
        check(out, clips, quick)


def test_a_shard_that_was_damaged_later_is_named(clips, quick, tmp_path):
    out = tmp_path / "out"
    run(clips, out, quick)
    path = sorted((out / "data").iterdir())[1]
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(OSError, match=str(path)):
        run(clips, out, quick)
    with pytest.raises(OSError, match=str(path)):
        status(out)
