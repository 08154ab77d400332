"""A sound block by block: the same samples and the same words as the whole sound, in memory that does not grow."""

import io
import sys

import numpy as np
import pytest
import sounds

from mimi_codec import read_sound
from mimi_codec.audio import open_sound
from mimi_codec.errors import AudioError

RATE = 24000
STEREO = np.stack([sounds.speechlike(30, 44100), -0.5 * sounds.speechlike(30, 44100)], axis=1)  # several blocks
JOINED = sounds.encoded(sounds.speechlike(rate=8000), "WAV", rate=8000) + sounds.encoded(sounds.speechlike(), "WAV")


@pytest.mark.parametrize("channels", ["mix", "first", 2, "separate"])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF"])
def test_blocks_are_the_whole_sound(kind, channels):
    data = sounds.encoded(STEREO, kind, rate=44100)
    whole = read_sound(data, RATE, channels=channels)
    with open_sound(data, RATE, channels=channels) as sound:
        blocks = list(sound)
        assert (sound.source_rate, sound.source_channels) == (44100, 2)
        assert (sound.source_format, sound.done, sound.warnings) == (whole.source_format, whole.done, whole.warnings)
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks, axis=-1), whole.samples)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000])
def test_a_resampled_sound_is_that_of_one_call_to_soxr(rate):
    """What the resampler keeps between blocks changes no sample."""
    import soxr

    pcm = sounds.encoded(sounds.speechlike(150 * 8000 / rate, rate), "WAV", "FLOAT", rate=rate)
    import soundfile

    samples, _ = soundfile.read(io.BytesIO(pcm), dtype="float32")
    with open_sound(pcm, RATE) as sound:
        found = np.concatenate(list(sound))
    np.testing.assert_array_equal(found, soxr.resample(samples, rate, RATE, quality="HQ"))


def test_joined_files_of_two_rates():
    with open_sound(JOINED, RATE) as sound:
        found = np.concatenate(list(sound))
    np.testing.assert_array_equal(found, read_sound(JOINED, RATE).samples)
    assert len(found) == 2 * sounds.SECONDS * RATE


def test_a_sound_without_samples_gives_one_empty_block():
    data = sounds.encoded(np.zeros((0, 2), np.float32), "WAV")
    with open_sound(data, RATE, channels="separate") as sound:
        assert [block.shape for block in sound] == [(2, 0)]


def test_what_is_cut_short_is_told_at_the_end():
    data = sounds.encoded(sounds.speechlike(), "WAV")[:-20000]
    with open_sound(data, RATE) as sound:
        assert len(np.concatenate(list(sound))) == sounds.SECONDS * RATE - 10000
        assert "cut short" in sound.warnings[0]
    with open_sound(data, RATE, strict=True) as sound, pytest.raises(AudioError, match="cut short"):
        list(sound)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in kilobytes on Linux alone")
def test_an_hour_takes_the_memory_of_a_minute(run_python, tmp_path):
    """At 48 kHz, so that the resampler is in it: an hour is 691 MB of float32, and 345 MB after it."""
    path = tmp_path / "hour.wav"
    minute = np.tile((10000 * sounds.speechlike(1, 48000)).astype("<i2"), 60).tobytes()
    with open(path, "wb") as file:
        size = 60 * len(minute)
        head = sounds.encoded(np.zeros(0, np.float32), "WAV", rate=48000)
        file.write(head[:4] + (size + 36).to_bytes(4, "little") + head[8:40] + size.to_bytes(4, "little"))
        for _ in range(60):
            file.write(minute)
    script = """
        import resource, sys
        from mimi_codec.audio import open_sound

        def read(limit):
            with open_sound(sys.argv[1], 24000) as sound:
                total = 0
                for block in sound:
                    total += len(block)
                    if total > limit:
                        break
            return total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        _, before = read(60 * 24000)
        total, after = read(10**10)
        print(total, after - before)
    """
    total, grown = map(int, run_python(script, path).split())
    assert total == 3600 * RATE
    assert grown < 30_000  # kilobytes: blocks of 4 MB, of which a few live at once
