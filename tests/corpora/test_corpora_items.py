"""Clips and their ids: folders, patterns, lists, archives, and sounds in memory."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest

import signals
from corpus import K, ids_of
from mimi_codec import read_audio, read_sound
from mimi_codec.corpora import read_rows, tokenize
from mimi_codec.corpora.items import corpus_of
from mimi_codec.errors import AudioError, ConfigError, InputTypeError, LoadError


def ids(*inputs, **options) -> list[str]:
    return [item.id for item in corpus_of(inputs[0] if len(inputs) == 1 else inputs, **options).items]


def one_row(source, model, out, **options):
    """What becomes of one sound."""
    tokenize([("clip", source)], out, model, num_codebooks=K, shards=1, **options)
    (row,) = read_rows(out)
    return row


class TestPaths:
    def test_a_folder(self, clips):
        assert ids(clips) == ids(str(clips)) == ids([clips]) == sorted(ids_of(clips))

    def test_a_file(self, clips):
        assert ids(clips / "speaker0/clip0.wav") == ["clip0.wav"]

    def test_folders_of_equal_names_are_told_apart(self, clips):
        both = ids(clips / "speaker1", clips / "speaker0")
        assert both == [f"speaker{speaker}/clip{number}.wav" for speaker in (0, 1) for number in range(8)]
        assert both == ids(clips / "speaker0", clips / "speaker1"), "the order of the inputs changes ids"

    def test_files_that_are_named_one_by_one(self, clips):
        assert ids(clips / "speaker0/clip1.wav", clips / "speaker2/clip1.wav") == [
            "speaker0/clip1.wav",
            "speaker2/clip1.wav",
        ]

    def test_a_file_in_two_inputs_is_one_clip(self, clips):
        inputs = [clips, clips / "speaker0", clips / "speaker0/clip0.wav"]
        found = [corpus_of(order).items for order in (inputs, inputs[::-1])]
        assert len(found[0]) == 24
        assert [item.id for item in found[0]] == [item.id for item in found[1]]

    def test_a_pattern(self, clips, monkeypatch):
        assert ids(f"{clips}/**/clip3.wav") == [f"speaker{number}/clip3.wav" for number in range(3)]
        monkeypatch.chdir(clips)
        assert ids("speaker[01]/*.wav")[:2] == ["speaker0/clip0.wav", "speaker0/clip1.wav"]
        with pytest.raises(ConfigError, match="no files match"):
            ids("*.flac")

    def test_other_files_are_passed_over_and_told(self, clips, tmp_path, quick):
        root = tmp_path / "mixed"
        root.mkdir()
        (root / "a.wav").symlink_to(clips / "speaker0/clip0.wav")
        (root / "notes.txt").write_text("not a clip")
        (root / ".hidden.wav").write_bytes(b"")
        corpus = corpus_of(root)
        assert [item.id for item in corpus.items] == ["a.wav"]
        assert corpus.notes == [f"{root}: passed over 2 files in directories (1 .txt, 1 hidden)"]
        summary = tokenize(root, tmp_path / "out", quick, num_codebooks=K)
        assert summary.notes == tuple(corpus.notes)
        assert "passed over 2 files" in str(summary)

    def test_the_output_is_not_searched(self, clips, tmp_path, quick):
        root = tmp_path / "root"
        root.mkdir()
        (root / "a.wav").write_bytes((clips / "speaker0/clip0.wav").read_bytes())
        (root / "out").mkdir()
        (root / "out/b.wav").write_bytes(b"")
        assert ids(root, output=root / "out") == ["a.wav"]

    def test_a_name_that_is_not_unicode(self, tmp_path, quick, clips):
        root = tmp_path / "odd"
        root.mkdir()
        data = (clips / "speaker0/clip0.wav").read_bytes()
        for name in (b"caf\xe9.wav", "café.wav".encode(), b"caf\\xe9.wav"[:3] + b".wav"):
            (root / name.decode("utf-8", "surrogateescape")).write_bytes(data)
        assert ids(root) == ["caf.wav", "caf\\xe9.wav", "café.wav"]
        for file_format in ("parquet", "webdataset", "files"):
            out = tmp_path / file_format
            tokenize(root, out, quick, num_codebooks=K, shards=2, file_format=file_format)
            assert sorted(row.id for row in read_rows(out)) == ids(root)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no "):
            ids(tmp_path / "nowhere")
        with pytest.raises(ConfigError, match=r"there are no clips: .*no sound files"):
            ids(tmp_path)
        with pytest.raises(ConfigError, match="there are no clips"):
            ids([])


class TestLists:
    @pytest.fixture
    def folder(self, clips, tmp_path):
        for number in range(3):
            (tmp_path / f"c{number}.wav").write_bytes((clips / f"speaker{number}/clip1.wav").read_bytes())
        return tmp_path

    @pytest.mark.parametrize("key", ["path", "audio_filepath", "audio", "file"])
    def test_json_lines(self, folder, quick, key):
        lines = [
            {key: "c0.wav", "id": "first"},
            {key: "./c1.wav", "text": "hello"},
            {key: str(folder / "c2.wav"), "id": 3},
        ]
        path = folder / "clips.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
        assert ids(path) == ["3", "c1.wav", "first"]
        tokenize(path, folder / "out", quick, num_codebooks=K, shards=1)
        for row in read_rows(folder / "out"):
            name = {"3": "c2.wav", "first": "c0.wav"}.get(row.id, row.id)
            np.testing.assert_array_equal(row.frames, quick.encode(read_audio(folder / name, 24000), num_codebooks=K))

    @pytest.mark.parametrize(("suffix", "mark"), [("csv", ","), ("tsv", "\t")])
    def test_values_with_separators(self, folder, suffix, mark):
        path = folder / f"clips.{suffix}"
        path.write_text(f"id{mark}path\nfirst{mark}c0.wav\n{mark}c1.wav\n")
        assert ids(path) == ["c1.wav", "first"]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('{"path": "c0.wav"}\n{"text": "hello"}', "line 2 of .* names no sound"),
            ('{"path": 3}', "line 1 of .* names no sound"),
            ('["c0.wav"]', "line 1 of .* is not a JSON object"),
            ('{"path": "c0.wav"', "is not a list of clips"),
            ('{"path": "c0.wav", "id": [1]}', "line 1 of .* has an id that is not text"),
            ('{"path": "c0.wav", "offset": 1.5}', "line 1 of .* is a part of a sound, from 1.5 s on"),
        ],
    )
    def test_a_line_that_is_wrong(self, folder, text, words):
        (folder / "clips.jsonl").write_text(text)
        with pytest.raises(LoadError, match=words):
            ids(folder / "clips.jsonl")

    def test_an_id_twice(self, folder):
        (folder / "clips.jsonl").write_text('{"path": "c0.wav", "id": "a"}\n{"path": "c1.wav", "id": "a"}\n')
        with pytest.raises(ConfigError, match=r"ids must be unique, got 'a' for .*c0.wav and .*c1.wav"):
            ids(folder / "clips.jsonl")

    def test_an_archive(self, folder, clips, quick):
        path = folder / "clips.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(clips, "deep")
            archive.addfile(tarfile.TarInfo("deep/notes.txt"))
            archive.addfile(tarfile.TarInfo("._clip.wav"))
        assert ids(path) == [f"deep/{name}" for name in sorted(ids_of(clips))]
        tokenize(path, folder / "out", quick, num_codebooks=K, shards=3)
        for row in read_rows(folder / "out"):
            file = clips / row.id.removeprefix("deep/")
            assert row.path == f"{path}/{row.id}"
            assert row.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
            np.testing.assert_array_equal(row.frames, quick.encode(read_audio(file, 24000), num_codebooks=K))

    def test_an_archive_that_is_not_one(self, folder):
        (folder / "clips.tar").write_bytes(b"\x1f\x8b" + bytes(1000))
        with pytest.raises(LoadError, match="not a whole tar archive without compression"):
            ids(folder / "clips.tar")


class TestSounds:
    PCM = signals.noise(30_000)

    @pytest.fixture
    def wav(self):
        file = io.BytesIO()
        import soundfile

        soundfile.write(file, np.stack([self.PCM, -0.3 * self.PCM], 1), 16000, format="WAV", subtype="PCM_16")
        return file.getvalue()

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
    def test_samples(self, quick, tmp_path, dtype):
        pcm = (self.PCM * 32768).astype(dtype) if dtype == "int16" else self.PCM.astype(dtype)
        row = one_row(pcm, quick, tmp_path)
        np.testing.assert_array_equal(row.frames, quick.encode(pcm, num_codebooks=K))
        assert (row.path, row.num_samples) == (None, 30_000)

    def test_samples_of_two_channels(self, quick, tmp_path):
        pcm = np.stack([self.PCM, -0.3 * self.PCM])
        row = one_row(pcm, quick, tmp_path / "mix")
        np.testing.assert_array_equal(row.frames, quick.encode(pcm.mean(axis=0), num_codebooks=K))
        tokenize([("clip", pcm)], tmp_path / "two", quick, num_codebooks=K, channels="separate")
        rows = list(read_rows(tmp_path / "two"))
        for channel, row in zip(pcm, rows, strict=True):
            np.testing.assert_array_equal(row.frames, quick.encode(channel, num_codebooks=K))

    def test_torch_and_lists(self, quick, tmp_path):
        import torch

        wanted = quick.encode(self.PCM, num_codebooks=K)
        np.testing.assert_array_equal(one_row(torch.from_numpy(self.PCM), quick, tmp_path / "a").frames, wanted)
        np.testing.assert_array_equal(one_row(self.PCM.tolist(), quick, tmp_path / "b").frames, wanted)

    def test_bytes_and_what_datasets_gives(self, quick, wav, tmp_path):
        (tmp_path / "clip.wav").write_bytes(wav)
        wanted = quick.encode(read_audio(wav, 24000), num_codebooks=K)
        path = tmp_path / "clip.wav"
        sounds = [wav, bytearray(wav), memoryview(wav), {"bytes": wav, "path": None}, {"bytes": None, "path": path}]
        sounds += [path, str(path), lambda: path, lambda: wav]
        for number, sound in enumerate(sounds):
            row = one_row(sound, quick, tmp_path / str(number))
            np.testing.assert_array_equal(row.frames, wanted)
            assert row.sha256 == hashlib.sha256(wav).hexdigest()
        samples = read_sound(wav, 16000).samples
        for number, sound in enumerate(
            [{"array": samples, "sampling_rate": 16000}, read_sound(wav, 16000), lambda: read_sound(wav, 16000)]
        ):
            np.testing.assert_array_equal(one_row(sound, quick, tmp_path / f"samples{number}").frames, wanted)

    @pytest.mark.parametrize(
        ("items", "error", "words"),
        [
            (3, InputTypeError, "items must be paths or"),
            ([3], InputTypeError, "items must be paths or .*got 3"),
            ([("a", "b", "c")], InputTypeError, "items must be paths or"),
            ([("a", None)], InputTypeError, "clip 'a' must be a path, bytes, samples or a function"),
            ([("a", {"text": 3})], InputTypeError, "clip 'a' must have 'array'"),
            ([("a", {"array": [0.0]})], InputTypeError, "without its 'sampling_rate'"),
            ([("a", np.zeros((1, 1, 9), np.float32))], AudioError, "clip 'a' must have shape"),
            ([("a", np.zeros(9, np.int32))], InputTypeError, "clip 'a' must be a path"),
            ([("", b"")], ConfigError, "an id must have between 1 and 4096 characters"),
            ([("a\ud800", b"")], ConfigError, "an id must be Unicode text"),
            ([("a", b""), ("b", b""), ("a", b"")], ConfigError, "ids must be unique, got 'a' for sound in memory"),
        ],
    )
    def test_what_is_not_a_clip(self, quick, tmp_path, items, error, words):
        with pytest.raises(error, match=words):
            tokenize(items, tmp_path / "out", quick)

    @pytest.mark.parametrize("file_format", ["parquet", "webdataset", "files"])
    def test_any_text_is_an_id(self, quick, tmp_path, file_format):
        """Also what would be another file, a hidden one, or no file at all."""
        names = [
            "a",
            "A/b.c/d.e",
            "a.b",
            "a~1",
            "a%2Eb",
            ".",
            "..",
            "../up",
            "/abs",
            "a//b",
            "a/",
            "_x",
            ".h",
            "x" * 4000,
        ]
        names += [
            "a/b.safetensors",
            "a/b.safetensors/c",
            "a/b.safetensors.json/c",
            "é\n\t",
            "C:\\x",
            "a b",
            "\0",
            "😀" * 99,
        ]
        pcm = signals.noise(3000)
        tokenize([(name, pcm) for name in names], tmp_path / "in/out", quick, shards=2, file_format=file_format)
        rows = list(read_rows(tmp_path / "in/out"))
        assert sorted(row.id for row in rows) == sorted(names)
        for row in rows:
            np.testing.assert_array_equal(row.frames, quick.encode(pcm))
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
        assert [path.name for path in (tmp_path / "in").iterdir()] == ["out"]
