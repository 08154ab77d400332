"""Headers that do not tell the truth: sizes of zero, too large, too small; tags; chunks of all kinds."""

import struct

import numpy as np
import pytest
import sounds

from mimi_codec import read_audio, read_sound
from mimi_codec.audio import audio_info
from mimi_codec.audio.formats import tracks
from mimi_codec.audio.notes import Notes
from mimi_codec.audio.source import opened
from mimi_codec.errors import AudioError, AudioWarning

RATE = sounds.RATE
PCM = sounds.speechlike()
STEP = 1 / 32768  # of 16 bits


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    kinds = {
        "WAV": None,
        "RF64": None,
        "W64": None,
        "AIFF": None,
        "AIFC": "LITTLE",
        "AU": None,
        "AUL": "LITTLE",
        "CAF": None,
    }
    names = {"AIFC": "AIFF", "AUL": "AU"}
    return {kind: sounds.encoded(PCM, names.get(kind, kind), endian=endian) for kind, endian in kinds.items()}


def with_size(data: bytes, kind: str, size: int) -> bytes:
    """The file with another size of its samples."""
    if kind in ("AU", "AUL"):
        return sounds.put(data, 8, ">I" if kind == "AU" else "<I", size)
    if kind == "RF64":
        return sounds.put(data, data.index(b"ds64") + 16, "<Q", size)
    if kind == "CAF":
        return sounds.put(data, data.index(b"data") + 4, ">q", size + 4 if size >= 0 else size)
    if kind == "W64":
        return sounds.put(data, data.index(b"data") + 16, "<Q", size + 24 if size else 0)
    name, layout, lead = (b"data", "<I", 0) if kind == "WAV" else (b"SSND", ">I", 8 if size else 0)
    return sounds.put(data, data.index(name) + 4, layout, min(size + lead, 2**32 - 1))


ALL = ("WAV", "RF64", "W64", "AIFF", "AIFC", "AU", "AUL", "CAF")


def same(pcm: np.ndarray) -> bool:
    return pcm.shape == PCM.shape and bool(np.abs(pcm - PCM).max() <= STEP)


class TestSizes:
    @pytest.mark.parametrize("kind", ALL)
    def test_true(self, files, kind):
        sound = read_sound(files[kind], RATE)
        assert same(sound.samples)
        assert (sound.done, sound.warnings) == ((), ())

    @pytest.mark.parametrize("kind", ALL)
    def test_zero(self, files, kind):
        """A recorder was killed: the samples are there."""
        sound = read_sound(with_size(files[kind], kind, 0), RATE)
        assert same(sound.samples)
        assert sound.warnings == ()
        assert "no length" in sound.done[0]

    @pytest.mark.parametrize(
        ("kind", "size"),
        [
            *(("WAV", size) for size in (0x7FFFFFFF, 0x80000000, 0x7FFFF000, 0xFFFFFFFF, 0xFFFFFFD0)),
            *(("AIFF", 0xFFFFFFF0), ("AU", 0xFFFFFFFF), ("AUL", 0xFFFFFFFF), ("CAF", -1)),
            *(("W64", 2**63 - 30), ("W64", 2**64 - 25), ("RF64", 2**64 - 1)),
        ],
    )
    def test_not_known(self, files, kind, size):
        """Written to a pipe."""
        sound = read_sound(with_size(files[kind], kind, size), RATE)
        assert same(sound.samples)
        assert sound.warnings == ()

    @pytest.mark.parametrize("kind", ALL)
    def test_more_than_there_is(self, files, kind):
        half = files[kind][: -len(PCM)]
        with pytest.warns(AudioWarning, match=r"the bytes: the sound is cut short: 1\.50 s of 3\.00 s"):
            pcm = read_audio(half, RATE)
        assert len(pcm) == len(PCM) // 2
        assert np.abs(pcm - PCM[: len(pcm)]).max() <= STEP
        with pytest.raises(AudioError, match=r"36000 of 72000 samples"):
            read_audio(half, RATE, strict=True)
        assert "36000 of 72000" in audio_info(half)["warnings"][0]

    @pytest.mark.parametrize("kind", ["WAV", "W64", "AIFF", "AU"])
    def test_less_than_there_is(self, files, kind):
        """What is behind is not known to be sound: it is named."""
        data = with_size(files[kind], kind, 2000)
        with pytest.warns(AudioWarning, match=r"142000 bytes behind the sound were not read"):
            assert len(read_audio(data, RATE)) == 1000

    @pytest.mark.parametrize("kind", ALL)
    def test_nothing_of_it_is_there(self, files, kind):
        """A header alone is an error, not a silent clip."""
        with pytest.raises(AudioError, match=r"0 of 72000|0\.00 s of 3\.00 s"):
            read_sound(files[kind][: -2 * len(PCM)], RATE)

    @pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF"])
    def test_no_samples_at_all(self, kind):
        assert read_audio(sounds.encoded(PCM[:0], kind), RATE).shape == (0,)

    @pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU"])
    def test_joined_files(self, files, kind):
        sound = read_sound(files[kind] + files[kind], RATE)
        assert same(sound.samples[: len(PCM)])
        assert same(sound.samples[len(PCM) :])
        assert sound.warnings == ()

    def test_more_than_the_size_can_say(self, tmp_path):
        """A long recording: the size has gone past 4 GiB and begun again at 0. The file is a hole, and not decoded."""
        size = (1 << 32) + 2 * RATE
        fmt = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
        with open(tmp_path / "long.wav", "wb") as file:
            file.write(sounds.put(sounds.wav(fmt, b""), 40, "<I", size % (1 << 32)))
            file.truncate(44 + size)
        notes = Notes()
        with opened(tmp_path / "long.wav") as (window, _), notes.decoders:
            track = next(tracks(window, notes))
            assert track.frames == size // 2
            assert len(next(track.blocks)) > 0
        assert audio_info(tmp_path / "long.wav")["samples"] == size // 2

    def test_the_other_name_of_rf64(self, files):
        assert same(read_audio(b"BW64" + files["RF64"][4:], RATE))

    def test_empty_data_before_other_chunks(self):
        chunk = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
        fmt = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
        assert read_audio(sounds.wav(fmt, b"", behind=chunk), RATE).shape == (0,)


class TestTags:
    @pytest.mark.parametrize("kind", [*ALL, "FLAC", "OGG", "MP3"])
    def test_in_front_and_behind(self, files, kind):
        data = files.get(kind) or sounds.encoded(PCM, kind)
        expected = read_audio(data, RATE)
        assert len(expected) == len(PCM)
        for front, behind in (
            (sounds.id3v2(bytes(1000)), b""),
            (sounds.id3v2(b"\xff\xfb\x90\0" * 99) + sounds.id3v2(b"x" * 5), sounds.ID3V1),
            (b"", sounds.ape(b"artist") + sounds.ID3V1),
            (sounds.ape(b"artist"), b""),
        ):
            sound = read_sound(front + data + behind, RATE)
            np.testing.assert_array_equal(sound.samples, expected)
            assert sound.warnings == ()

    @pytest.mark.parametrize("kind", ["WAV", "AU", "CAF"])
    def test_behind_sound_of_unknown_length(self, files, kind):
        data = with_size(files[kind], kind, -1 if kind == "CAF" else 0xFFFFFFFF)
        assert same(read_audio(data + sounds.ape(b"x") + sounds.ID3V1, RATE))

    def test_a_tag_that_is_longer_than_the_file(self):
        with pytest.raises(AudioError):
            read_audio(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100), RATE)


class TestChunks:
    RAW = (PCM * 32768).round().astype("<i2").tobytes()
    FMT = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)

    @pytest.mark.parametrize("padding", [b"\0", b""])  # some programs forget it
    def test_odd_chunks_in_front(self, padding):
        chunk = b"LIST" + struct.pack("<I", 7) + b"INFOxyz" + padding
        assert same(read_audio(sounds.wav(self.FMT, self.RAW, before=chunk), RATE))

    @pytest.mark.parametrize("behind", [b"LIST" + struct.pack("<I", 5) + b"INFOx\0", bytes(4096), b"\0"])
    def test_behind(self, behind):
        sound = read_sound(sounds.wav(self.FMT, self.RAW, behind=behind), RATE)
        assert same(sound.samples)
        assert sound.warnings == ()

    @pytest.mark.parametrize("installed", [True, False])
    @pytest.mark.parametrize("width", [1, 2, 3, 4])
    @pytest.mark.parametrize(("extensible", "order"), [(False, "<"), (True, "<"), (False, ">")])
    def test_widths(self, monkeypatch, installed, width, extensible, order):
        """With and without soundfile; two channels, of which the second is the first turned over."""
        if not installed:
            monkeypatch.setattr("mimi_codec.audio.sndfile.module", lambda: None)
        wide = (np.stack([PCM, -PCM], 1) * 2**30).astype(np.int64)
        raw = (wide >> (32 - 8 * width)).astype(order + "i8").reshape(-1, 1).view("u1")
        raw = raw[:, :width] if order == "<" else raw[:, 8 - width :]
        data = ((raw + 128) if width == 1 else raw).astype("u1").tobytes()
        head = (2, RATE, 2 * width * RATE, 2 * width, 8 * width)
        fmt = struct.pack(order + "HHIIHH", 0xFFFE if extensible else 1, *head)
        if extensible:
            fmt += struct.pack("<HHIH", 22, 8 * width, 3, 1) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
        pcm = read_audio(sounds.wav(fmt, data, order=order), RATE, channels="separate")
        assert pcm.shape == (2, len(PCM))
        assert np.abs(pcm - np.stack([PCM, -PCM]) / 2).max() <= 2.0 ** (1 - 8 * width) + 1e-6  # truncated above

    @pytest.mark.parametrize("width", [4, 8])
    def test_floats_without_soundfile(self, monkeypatch, width):
        monkeypatch.setattr("mimi_codec.audio.sndfile.module", lambda: None)
        fmt = struct.pack("<HHIIHH", 3, 1, RATE, width * RATE, width, 8 * width)
        np.testing.assert_array_equal(read_audio(sounds.wav(fmt, PCM.astype(f"<f{width}").tobytes()), RATE), PCM)

    @pytest.mark.parametrize("installed", [True, False])
    def test_damaged_format_chunks(self, monkeypatch, installed):
        """Every byte of the header damaged, and the header cut anywhere: samples or a typed error."""
        if not installed:
            monkeypatch.setattr("mimi_codec.audio.sndfile.module", lambda: None)
        good = sounds.wav(self.FMT, self.RAW[:400])
        bad = [good[:size] for size in range(45)]
        bad += [good[:place] + bytes([value]) + good[place + 1 :] for place in range(44) for value in (0, 1, 127, 255)]
        read = longest = 0
        for data in bad:
            try:
                read += read_sound(data, RATE, channels="first").samples.size > 0
            except AudioError as error:
                longest = max(longest, len(str(error)))
        assert read > 20
        assert longest < 400

    @pytest.mark.parametrize("rate", [0, 1, 999, 2**31 - 1])
    def test_rates_that_cannot_be(self, rate):
        fmt = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate & 0xFFFFFFFF, 2, 16)
        with pytest.raises(AudioError, match=r"^the bytes cannot be read as audio"):
            read_audio(sounds.wav(fmt, self.RAW), RATE)
