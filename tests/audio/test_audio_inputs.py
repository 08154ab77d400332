"""What `read_audio` takes: file objects of all kinds, bytes, and which channels of a file it gives."""

import io
import os
import tarfile
import threading
import warnings

import numpy as np
import pytest
import sounds

from mimi_codec import read_audio, read_sound
from mimi_codec.audio import audio_info
from mimi_codec.errors import AudioError, AudioWarning, ConfigError, InputTypeError

RATE = sounds.RATE
PCM = sounds.speechlike()
KINDS = ("WAV", "FLAC", "OGG", "MP3", "AIFF")


@pytest.fixture(scope="module", params=KINDS)
def data(request) -> bytes:
    return sounds.encoded(PCM, request.param)


@pytest.fixture(scope="module")
def expected(data) -> np.ndarray:
    return read_audio(data, RATE)


class Broken(io.BytesIO):
    """Reading fails half way, as from a disk or a network."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= len(self.getvalue()) // 2:
            raise OSError("the disk is gone")
        return super().read(min(9999, len(self.getvalue()) // 2))

    def readinto(self, buffer, /) -> int:
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


class Short(io.RawIOBase):
    """At most 500 bytes a read, as raw streams may."""

    def __init__(self, data: bytes, seekable: bool):
        self.file, self.can_seek = io.BytesIO(data), seekable

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.can_seek

    def seek(self, *args) -> int:
        return self.file.seek(*args)

    def readinto(self, buffer) -> int:
        return self.file.readinto(memoryview(buffer)[:500])


class Minimal:
    """Nothing but `read`."""

    def __init__(self, data: bytes):
        self.file = io.BytesIO(data)

    def read(self, size: int) -> bytearray:
        return bytearray(self.file.read(size))


class TestFiles:
    def test_bytes(self, data, expected):
        assert len(expected) == len(PCM)
        for content in (data, bytearray(data), memoryview(data), io.BytesIO(data), Minimal(data)):
            np.testing.assert_array_equal(read_audio(content, RATE), expected)

    @pytest.mark.parametrize("seekable", [True, False])
    def test_short_reads(self, data, expected, seekable):
        np.testing.assert_array_equal(read_audio(Short(data, seekable), RATE), expected)

    def test_errors_while_reading(self, data):
        with pytest.raises(OSError, match="the disk is gone"):
            read_audio(Broken(data), RATE)

    def test_errors_of_a_path_while_reading(self, data, tmp_path, monkeypatch):
        """The decoder asks for the bytes from C, where an exception would be lost."""
        from mimi_codec.audio import source

        (tmp_path / "a").write_bytes(data)
        whole = source._whole
        monkeypatch.setattr(source, "_whole", lambda file: whole(Failing(file, len(data))))
        for error in (OSError("the disk is gone"), KeyboardInterrupt()):
            Failing.error = error
            with pytest.raises(type(error)):
                read_audio(tmp_path / "a", RATE)

    def test_a_member_of_a_streamed_archive(self, data, expected):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name in ("a", "b"):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        packed.seek(0)
        found = []
        with tarfile.open(fileobj=Minimal(packed.getvalue()), mode="r|gz") as archive:
            for member in archive:
                found.append(read_audio(archive.extractfile(member), RATE))
        assert len(found) == 2
        for pcm in found:
            np.testing.assert_array_equal(pcm, expected)

    def test_pipes(self, data, expected, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_bytes, args=(data,))
        writer.start()
        np.testing.assert_array_equal(read_audio(path, RATE), expected)
        writer.join()

    def test_from_where_it_stands(self, data, expected):
        file = io.BytesIO(b"other things" + data)
        file.seek(12)
        np.testing.assert_array_equal(read_audio(file, RATE), expected)
        assert file.tell() == 12 + len(data)

    def test_info(self, data):
        info = audio_info(data)
        assert (info["samples"], info["channels"], info["sample_rate"]) == (len(PCM), 1, RATE)
        assert info["warnings"] == []

    @pytest.mark.parametrize("file", [5, 5.0, None, {}, {"bytes": b""}, [], np.zeros(5), True, object()])
    def test_other_things(self, file):
        for function in (read_audio, read_sound):
            with pytest.raises(InputTypeError, match=f"got {type(file).__name__}"):
                function(file, RATE)

    def test_files_that_give_no_bytes(self, tmp_path):
        class Text:
            def read(self, size):
                return "text"

        class Nothing:
            def read(self, size):
                return None

        with pytest.raises(InputTypeError, match="binary mode"):
            read_audio(Text(), RATE)
        with pytest.raises(InputTypeError, match="binary mode"):
            read_audio(io.StringIO("text"), RATE)
        with pytest.raises(AudioError, match="no data"):
            read_audio(Nothing(), RATE)
        with pytest.raises(AudioError, match="null"):
            read_audio("a\0b", RATE)
        with pytest.raises(IsADirectoryError):
            read_audio(tmp_path, RATE)

    @pytest.mark.parametrize("rate", [24000.5, "24000", None, True])
    def test_rates_of_another_type(self, rate):
        with pytest.raises(InputTypeError, match="sample_rate must be an integer"):
            read_audio(b"", rate)
        with pytest.raises(ConfigError, match="sample_rate must be at least 1"):
            read_audio(b"", 0)


class Failing:
    """A file whose second half cannot be read."""

    error: BaseException

    def __init__(self, file, size: int):
        self.file, self.half = file, size // 2

    def seek(self, *args) -> int:
        return self.file.seek(*args)

    def read(self, size: int) -> bytes:
        if self.file.tell() + size > self.half:
            raise self.error
        return self.file.read(size)


class TestChannels:
    LEFT, RIGHT = PCM, np.ascontiguousarray(PCM[::-1])
    STEREO = np.stack([LEFT, RIGHT], 1)

    @pytest.fixture(params=["WAV", "FLAC"])
    def stereo(self, request) -> bytes:
        return sounds.encoded(self.STEREO, request.param)

    @pytest.mark.parametrize(
        ("channels", "expected", "done"),
        [
            ("mix", (LEFT + RIGHT) / 2, "2 channels averaged"),
            ("first", LEFT, "the first of 2 channels taken"),
            (1, LEFT, "channel 1 of 2 taken"),
            (2, RIGHT, "channel 2 of 2 taken"),
            (np.int64(2), RIGHT, "channel 2 of 2 taken"),
            ("separate", np.stack([LEFT, RIGHT]), "2 channels kept separate"),
        ],
    )
    def test_choice(self, stereo, channels, expected, done):
        sound = read_sound(stereo, RATE, channels=channels)
        assert sound.samples.shape == expected.shape
        assert sound.samples.flags["C_CONTIGUOUS"]
        assert np.abs(sound.samples - expected).max() <= 1 / 32768
        assert (sound.done, sound.source_channels, sound.source_rate) == ((done,), 2, RATE)
        np.testing.assert_array_equal(read_audio(stereo, RATE, channels=channels), sound.samples)

    def test_separate_channels_are_resampled_alike(self, stereo):
        both = read_sound(stereo, 16000, channels="separate")
        assert both.done == ("2 channels kept separate", "resampled from 24000 Hz to 16000 Hz")
        for number in (1, 2):
            np.testing.assert_array_equal(both.samples[number - 1], read_audio(stereo, 16000, channels=number))

    def test_a_mono_file(self):
        mono = sounds.encoded(PCM, "WAV")
        assert read_audio(mono, RATE, channels="separate").shape == (1, len(PCM))
        sound = read_sound(mono, RATE, channels=1)
        assert (sound.done, sound.source_channels, sound.seconds) == ((), 1, 3.0)
        assert read_audio(sounds.encoded(PCM[:0], "WAV"), RATE, channels="separate").shape == (1, 0)

    def test_channels_that_are_not_there(self, stereo):
        with pytest.raises(AudioError, match="channel 3 was asked for, it has 2"):
            read_audio(stereo, RATE, channels=3)

    @pytest.mark.parametrize("channels", [0, -1, "left", "1", True])
    def test_choices_that_are_not_there(self, stereo, channels):
        with pytest.raises(ConfigError, match="channels"):
            read_audio(stereo, RATE, channels=channels)

    @pytest.mark.parametrize("channels", [None, 1.0, b"mix"])
    def test_choices_of_another_type(self, stereo, channels):
        with pytest.raises(InputTypeError, match="channels"):
            read_audio(stereo, RATE, channels=channels)

    def test_channels_that_cancel_each_other(self):
        """One of them turned over: the average is silence."""
        data = sounds.encoded(np.stack([PCM, -PCM], 1), "WAV")
        with pytest.warns(AudioWarning, match="cancel"):
            read_audio(data, RATE)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_audio(data, RATE, channels="first")
            read_audio(sounds.encoded(np.zeros((99, 2), np.float32), "WAV"), RATE)
            read_audio(sounds.encoded(self.STEREO, "WAV"), RATE)

    def test_joined_files_of_different_channels(self, stereo):
        mono = sounds.encoded(PCM, "WAV" if stereo[:4] == b"RIFF" else "FLAC")
        sound = read_sound(stereo + mono, RATE)
        assert np.abs(sound.samples - np.concatenate([(self.LEFT + self.RIGHT) / 2, PCM])).max() <= 1 / 32768
        with pytest.raises(AudioError, match="2 and 1 channels"):
            read_audio(stereo + mono, RATE, channels="separate")

    def test_many_channels(self):
        many = np.stack([PCM * (number / 32) for number in range(1, 33)], 1)
        sound = read_sound(sounds.encoded(many, "WAV"), RATE, channels=32)
        assert np.abs(sound.samples - PCM).max() <= 1 / 32768
