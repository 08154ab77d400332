"""Compressed sound: MP3 whatever its tag says, FLAC and Ogg of any length and joined, and what PyAV reads."""

import struct
import sys

import numpy as np
import pytest
import sounds

from mimi_codec import read_audio, read_sound
from mimi_codec.audio import AUDIO_SUFFIXES, audio_info, readable_suffixes
from mimi_codec.errors import AudioError, AudioWarning

RATE = sounds.RATE
PCM = sounds.speechlike()
FRAMES = 127  # of MP3, for the three seconds
SAMPLES = 576 * FRAMES
DELAY = 576 + 529  # of encoder and decoder
ULP = 2.0**-23  # libmpg123 rounds otherwise when it begins elsewhere


@pytest.fixture(scope="module")
def mp3() -> bytes:
    return sounds.mp3(PCM)


@pytest.fixture(scope="module")
def decoded(mp3) -> np.ndarray:
    """The whole sound, as libsndfile gives it."""
    import io

    import soundfile

    return soundfile.read(io.BytesIO(mp3), dtype="float32")[0]


class TestMp3:
    def test_with_a_true_tag(self, mp3, decoded):
        sound = read_sound(mp3, RATE)
        np.testing.assert_array_equal(sound.samples, decoded)
        assert len(sound.samples) == len(PCM)
        assert (sound.done, sound.warnings) == ((), ())

    def test_without_a_tag(self, mp3, decoded):
        """Variable bit rate: all frames, with the delay that no tag tells."""
        pcm = read_audio(sounds.without_tag(mp3), RATE)
        assert len(pcm) == SAMPLES
        np.testing.assert_allclose(pcm[DELAY : DELAY + len(decoded)], decoded, rtol=0, atol=ULP)
        assert audio_info(sounds.without_tag(mp3))["samples"] == SAMPLES

    def test_the_constant_bit_rate_without_a_tag(self):
        data = sounds.by_av(PCM, "mp3", "libmp3lame", options={"write_xing": "0"})
        assert len(read_audio(data, RATE)) == SAMPLES

    @pytest.mark.parametrize("frames", [0, 1, 40, FRAMES - 1])
    def test_longer_than_its_tag_says(self, mp3, decoded, frames):
        pcm = read_audio(sounds.with_count(mp3, frames), RATE)
        start = DELAY if frames == 0 else 0  # without a count it is no tag for the delay either
        np.testing.assert_allclose(pcm[start : start + len(decoded)], decoded, rtol=0, atol=ULP)

    @pytest.mark.parametrize("frames", [2 * FRAMES, 2**31, 2**32 - 1])
    def test_shorter_than_its_tag_says(self, mp3, decoded, frames):
        with pytest.warns(AudioWarning, match=r"cut short: 3\.05 s of \d+\.\d\d s"):
            pcm = read_audio(sounds.with_count(mp3, frames), RATE)
        np.testing.assert_array_equal(pcm[: len(decoded)], decoded)
        with pytest.raises(AudioError, match="cut short"):
            read_audio(sounds.with_count(mp3, frames), RATE, strict=True)

    def test_cut_short(self, mp3):
        sound = read_sound(mp3[: len(mp3) // 2], RATE)
        assert 0.5 < sound.seconds < 2.5
        assert any("cut short" in text for text in sound.warnings)

    def test_joined(self, mp3, decoded):
        np.testing.assert_array_equal(read_audio(mp3 + mp3, RATE), np.tile(decoded, 2))
        tagged = sounds.id3v2(b"picture" * 300) + mp3 + sounds.ape(b"x") + sounds.ID3V1
        sound = read_sound(tagged * 3, RATE)
        np.testing.assert_array_equal(sound.samples, np.tile(decoded, 3))
        assert sound.warnings == ()
        assert "3 MP3 recordings" in sound.done[0]
        assert len(read_audio(sounds.without_tag(mp3) * 2, RATE)) == 2 * SAMPLES
        assert len(read_audio(mp3 + sounds.without_tag(mp3), RATE)) == 2 * SAMPLES - DELAY

    def test_joined_with_another_rate(self, mp3, decoded):
        other = sounds.mp3(sounds.speechlike(2, 44100), 44100)
        pcm = read_audio(mp3 + other, RATE)
        np.testing.assert_array_equal(pcm[: len(decoded)], decoded)
        assert abs(len(pcm) - len(decoded) - 2 * RATE) <= 1

    def test_sound_in_the_tag_is_not_sound(self, mp3, decoded):
        np.testing.assert_array_equal(read_audio(sounds.id3v2(mp3[:2000]) + mp3, RATE), decoded)

    @pytest.mark.parametrize(("front", "behind"), [(500, 0), (0, 5000), (30000, 3000)])
    def test_zeros_around(self, mp3, front, behind):
        sound = read_sound(bytes(front) + sounds.without_tag(mp3) + bytes(behind), RATE)
        assert len(sound.samples) == SAMPLES
        assert sound.warnings == ()

    def test_rubbish_in_the_middle(self, mp3):
        """libmpg123 gives up after 1024 bytes."""
        data, place = sounds.without_tag(mp3), 0
        while place < len(data) // 2:
            place += sounds.mp3_frame(data[place:])
        sound = read_sound(data[:place] + b"rubbish" * 1000 + data[place:], RATE)
        assert len(sound.samples) == SAMPLES
        assert "7000 bytes" in sound.warnings[0]

    def test_inside_a_wav(self, mp3):
        fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 4000, 1, 0, 12, 1, 2, 576, 1, 1393)
        assert len(read_audio(sounds.wav(fmt, sounds.without_tag(mp3)), RATE)) == SAMPLES

    def test_without_a_whole_frame(self, mp3):
        """No samples, no rate: there is nothing to describe."""
        first = sounds.without_tag(mp3)
        for call in (audio_info, lambda data: read_audio(data, RATE)):
            with pytest.raises(AudioError):
                call(first[: sounds.mp3_frame(first) - 1])

    @pytest.mark.parametrize("by_av", [True, False])
    def test_where_libsndfile_cannot_seek(self, mp3, decoded, monkeypatch, by_av):
        """Some damaged files can be opened, and not be read from their beginning."""
        import soundfile

        def seek(self, *args):
            raise soundfile.LibsndfileError(2)

        monkeypatch.setattr(soundfile.SoundFile, "seek", seek)
        if by_av:
            assert len(read_audio(mp3, RATE)) >= len(decoded)
            return
        monkeypatch.setitem(sys.modules, "av", None)
        for call in (audio_info, lambda data: read_audio(data, RATE)):
            with pytest.raises(AudioError, match="cannot be read as audio"):
                call(mp3)

    def test_the_elder_layer(self):
        sound = read_sound(sounds.by_av(PCM, "mp2", "mp2"), RATE)
        assert "Layer II" in sound.source_format
        assert len(sound.samples) == 576 * 126

    def test_bytes_that_look_like_it(self):
        noise = np.random.default_rng(0).integers(0, 256, 1 << 17, np.uint8).tobytes()
        for data in (noise, b"\xff" * 9999):
            with pytest.raises(AudioError):
                read_audio(data, RATE)


class TestFlac:
    @pytest.fixture(scope="class")
    def flac(self) -> bytes:
        return sounds.encoded(PCM, "FLAC")

    @pytest.mark.parametrize("total", [0, 1, 1000, len(PCM)])
    def test_of_unknown_or_false_length(self, flac, total):
        """0 is what is written to a pipe."""
        data = sounds.with_total(flac, total)
        pcm = read_audio(data, RATE, strict=True)
        assert pcm.shape == PCM.shape
        assert np.abs(pcm - PCM).max() <= 1 / 32768
        if total == 0:
            assert audio_info(data)["samples"] == len(PCM)

    @pytest.mark.parametrize("total", [len(PCM) + 1, 10**6, 2**36 - 1])
    def test_shorter_than_its_header_says(self, flac, total):
        with pytest.warns(AudioWarning, match=f"72000 of {total} samples"):
            assert len(read_audio(sounds.with_total(flac, total), RATE)) == len(PCM)

    @pytest.mark.parametrize("total", [0, len(PCM)])
    def test_cut_short(self, flac, total):
        sound = read_sound(sounds.with_total(flac, total)[: len(flac) // 2], RATE)
        assert len(sound.samples) > RATE
        np.testing.assert_allclose(sound.samples, PCM[: len(sound.samples)], atol=1 / 32768)
        assert len(sound.warnings) == 1

    @pytest.mark.parametrize("total", [0, len(PCM)])
    def test_joined(self, flac, total):
        data = sounds.with_total(flac, total)
        assert len(read_audio(data * 3, RATE, strict=True)) == 3 * len(PCM)
        assert len(read_audio((data + sounds.ID3V1), RATE, strict=True)) == len(PCM)

    def test_with_one_block_of_metadata(self, flac):
        """The block of the sound's properties is marked as the last one: no comments follow. It still begins a file."""
        bare = sounds.bare_flac(flac)
        for data, times in ((bare, 1), (bare * 2, 2), (flac + bare, 2), (bare + flac, 2)):
            assert len(read_audio(data, RATE, strict=True)) == times * len(PCM)

    def test_a_first_block_that_is_damaged(self, flac):
        """What follows the next beginning is not taken for all."""
        damaged = flac[:7] + b"\x23" + flac[8:]
        for call in (read_sound, lambda data, rate: audio_info(data)):
            for data in (damaged, damaged + flac):
                with pytest.raises(AudioError):
                    call(data, RATE)


class TestOgg:
    @pytest.fixture(scope="class", params=["VORBIS", "OPUS"])
    def ogg(self, request) -> bytes:
        return sounds.encoded(np.tile(PCM, 4), "OGG", request.param)

    def test_whose_first_page_is_not_marked_as_such(self, ogg):
        """Not a file without sound."""
        for data in (ogg[:5] + b"\0" + ogg[6:], ogg[:5] + b"\x80" + ogg[6:]):
            with pytest.raises(AudioError):
                read_audio(data, RATE)
            with pytest.raises(AudioError):
                audio_info(data)

    @pytest.mark.parametrize("size", [4, 5, 26])
    def test_with_a_piece_of_a_page_behind_it(self, ogg, size):
        with pytest.warns(AudioWarning, match="last page.*cut short"):
            assert len(read_audio(ogg + ogg[:size], RATE)) == 4 * len(PCM)

    def test_chained(self, ogg):
        first = read_audio(ogg, RATE, strict=True)
        assert len(first) == 4 * len(PCM)
        np.testing.assert_array_equal(read_audio(ogg * 2, RATE, strict=True), np.tile(first, 2))

    def test_cut_short(self, ogg):
        sound = read_sound(ogg[: len(ogg) * 2 // 3], RATE)
        assert 0 < sound.seconds < 11
        assert sound.warnings
        with pytest.raises(AudioError):
            read_audio(ogg[: len(ogg) * 2 // 3], RATE, strict=True)

    def test_without_its_last_page(self, ogg):
        sound = read_sound(ogg[: ogg.rindex(b"OggS")], RATE)
        assert 0 < sound.seconds < 12
        assert "end mark" in sound.warnings[0]

    def test_a_page_is_missing(self, ogg):
        pages = [place for place in range(len(ogg)) if ogg.startswith(b"OggS", place)]
        sound = read_sound(ogg[: pages[3]] + ogg[pages[4] :], RATE)
        assert any("pages are missing" in text for text in sound.warnings)


AV = {
    "m4a": ("ipod", "aac", 24000),
    "aac": ("adts", "aac", 24000),
    "webm": ("webm", "libopus", 48000),
    "mka": ("matroska", "aac", 24000),
    "mkv": ("matroska", "libmp3lame", 24000),
    "mp4": ("mp4", "alac", 24000),
    "mov": ("mov", "pcm_s16le", 24000),
    "avi": ("avi", "libmp3lame", 24000),
    "ts": ("mpegts", "aac", 24000),
    "wv": ("wv", "wavpack", 24000),
    "ogg": ("ogg", "flac", 24000),
}


class TestAv:
    @pytest.mark.parametrize("kind", AV)
    def test_formats(self, kind):
        muxer, codec, rate = AV[kind]
        sound = read_sound(sounds.by_av(sounds.speechlike(rate=rate), muxer, codec, rate), RATE)
        assert sound.warnings == ()
        # What has no gapless information keeps the encoder's delay and the filling of its last frame.
        lossless = codec in ("alac", "pcm_s16le", "wavpack", "flac")
        assert 0 <= len(sound.samples) - len(PCM) <= (0 if lossless or kind == "m4a" else 2048)
        shifts = range(len(sound.samples) - len(PCM) + 1)
        error = min(np.abs(sound.samples[by : by + len(PCM)] - PCM)[3000:30000].max() for by in shifts)
        # PyAV writes WavPack of 8 bits; the others are 16 bits, or coded with loss (a tone of 0.4)
        limit = 1 / 128 if kind == "wv" else 1e-4 if lossless else 0.05
        assert error < limit

    @pytest.mark.parametrize("kind", ["webm", "mka", "mkv", "avi", "wv", "aac"])
    def test_cut_short(self, kind):
        muxer, codec, rate = AV[kind]
        data = sounds.by_av(sounds.speechlike(rate=rate), muxer, codec, rate)
        sound = read_sound(data[: len(data) * 2 // 3 + 5], RATE)
        assert 0.5 < sound.seconds < 2.9
        assert sound.warnings

    @pytest.mark.parametrize(("layout", "count"), [("stereo", 2), ("5.1", 6), ("6.1", 7), ("7.1", 8)])
    def test_many_channels(self, layout, count):
        """PyAV's own conversion of eight planes reads beyond them."""
        levels = np.arange(1, count + 1)[:, np.newaxis] / count
        sound = read_sound(
            sounds.by_av((PCM * levels).astype(np.float32), "ipod", "aac", layout=layout), RATE, channels="separate"
        )
        assert sound.samples.shape == (count, len(PCM))
        power = np.sqrt(np.square(sound.samples).mean(axis=1)) / np.sqrt(np.square(PCM).mean())
        tonal = np.delete(power, 3) if count > 5 else power  # the fourth is for low tones alone
        expected = np.delete(levels[:, 0], 3) if count > 5 else levels[:, 0]
        if layout == "6.1":
            tonal = np.sort(tonal)  # newer FFmpegs read such AAC as 6.1(back), where the back centre comes last
        np.testing.assert_allclose(tonal, expected, atol=0.1)  # coded with loss

    def test_without_its_index(self):
        data = sounds.by_av(PCM, "ipod", "aac")
        with pytest.raises(AudioError, match="cannot be read as audio"):
            read_audio(data[: len(data) // 2], RATE)

    def test_several_tracks(self):
        sound = read_sound(sounds.by_av(PCM, "matroska", "flac", tracks=2), RATE)
        assert len(sound.samples) == len(PCM)
        assert "first of 2 sound tracks" in sound.warnings[0]

    def test_playlists_open_no_other_file(self, tmp_path):
        sounds_dir = tmp_path / "a.wav"
        sounds_dir.write_bytes(sounds.encoded(PCM, "WAV"))
        for text in (f"#EXTM3U\n#EXTINF:3,\n{sounds_dir}\n", f"ffconcat version 1.0\nfile '{sounds_dir}'\n"):
            (tmp_path / "list.m3u8").write_text(text)
            with pytest.raises(AudioError):
                read_audio(tmp_path / "list.m3u8", RATE)

    def test_what_to_install(self, monkeypatch):
        data = sounds.by_av(PCM, "ipod", "aac")
        everything = readable_suffixes()
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(AudioError, match=r"pip install 'mimi-codec\[av\]'"):
            read_audio(data, RATE)
        assert set(everything) == set(AUDIO_SUFFIXES)
        assert ".mp3" in readable_suffixes()
        assert ".m4a" not in readable_suffixes()
        monkeypatch.setitem(sys.modules, "soundfile", None)
        with pytest.raises(AudioError, match=r"pip install 'mimi-codec\[audio\]'"):
            read_audio(data, RATE)
        assert ".mp3" not in readable_suffixes()
        assert ".wav" in readable_suffixes()

    def test_mp3_needs_no_other_package(self, monkeypatch, mp3):
        monkeypatch.setitem(sys.modules, "av", None)
        assert len(read_audio(sounds.without_tag(mp3) * 2, RATE)) == 2 * SAMPLES
