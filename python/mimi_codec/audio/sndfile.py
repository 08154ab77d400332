"""Sound through soundfile (libsndfile), read to the end whatever the header says, with nothing lost without a note."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._arrays import Float32Array
from . import mpeg, ogg
from .notes import Notes, share
from .source import Window
from .track import BLOCK, NotReadableError, Track

UNKNOWN_FRAMES = 1 << 60  # libsndfile says 2^63 - 1 where a header does not say
# The mark and the head of the block that must follow it, which is the last one of its kind if nothing else is said.
FLAC_STARTS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
FLAC_HEAD = 42
PIECE = 1 << 20


def module() -> Any | None:
    """soundfile, if it and its library are there."""
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is there, the library it loads is not
        return None
    return soundfile


def track(
    soundfile: Any,
    window: Window,
    notes: Notes,
    *,
    limit: int | None = None,
    said: int | None = None,
    walked: bool = False,
) -> Track:
    """The sound of a file that libsndfile knows.

    Args:
        soundfile: the package.
        window: the file.
        notes: what is noticed goes here.
        limit: samples after which to stop.
        said: samples that there must be; None for what libsndfile says, 0 if nobody knows.
        walked: MPEG frames were counted, and libsndfile will not stop before the last.
    """

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        """Read without seeking, which the package does after every block and which not every decoder survives."""

        def seekable(self) -> bool:
            return False

    try:
        sound = Forward(window)
        if walked:
            sound.seek(0)  # as `soundfile.read` does: the last bits of what libmpg123 decodes depend on it
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        window.check()
        raise NotReadableError(_reason(error)) from error
    notes.decoders.callback(sound.close)
    window.check()
    if not walked and sound.format == "MP3":
        sound.close()
        raise NotReadableError("its MPEG frames cannot be followed")
    notes.format = f"{sound.format_info}, {sound.subtype_info}"
    frames: int | None = sound.frames if limit is None else limit
    if frames is not None and frames >= UNKNOWN_FRAMES:
        frames = None
    if said is None:
        said = frames or 0
    return Track(
        sound.samplerate, sound.channels, said or frames, _blocks(soundfile, sound, window, notes, limit, said)
    )


def _blocks(
    soundfile: Any, sound: Any, window: Window, notes: Notes, limit: int | None, said: int
) -> Iterator[Float32Array]:
    got, reason = 0, ""
    size = max(1, BLOCK // sound.channels)
    with sound:
        while limit is None or got < limit:
            want = size if limit is None else min(size, limit - got)
            # After an error nothing says how much was decoded, but for the samples that are still not numbers.
            buffer = np.full((want, sound.channels), np.nan, np.float32)
            try:
                count = len(sound.read(want, dtype="float32", always_2d=True, out=buffer))
            except (soundfile.SoundFileError, RuntimeError) as error:
                window.check()
                reason = f": {_reason(error)}"
                missing = np.isnan(buffer[:, -1])
                count = int(missing.argmax()) if missing.any() else want
            window.check()
            if count:
                yield buffer[:count]
            got += count
            if count < want or reason:
                break
        if got < said:
            notes.warn(
                f"the sound is cut short or damaged: {share(got, said, sound.samplerate)} could be decoded{reason}"
            )
        elif reason and not said:
            notes.warn(f"the sound may be damaged: decoding stopped after {got / sound.samplerate:.2f} s{reason}")


def flac(soundfile: Any, window: Window, notes: Notes) -> Iterator[Track]:
    """FLAC files, one or more behind each other, whose headers need not know their length."""
    starts = sorted(place for sign in FLAC_STARTS for place in _places(window, sign))
    if starts[:1] != [0]:
        raise NotReadableError("its FLAC header is damaged")
    if len(starts) > 1:
        notes.did(f"{len(starts)} FLAC files in one were read one after the other")
    for start, end in zip(starts, [*starts[1:], window.size], strict=True):
        part = window.part(start, end)
        head = part.read_at(0, FLAC_HEAD)
        # 36 bits of the header; libFLAC stops there, and cannot start where they say more than there is
        said = int.from_bytes(head[21:26], "big") & ((1 << 36) - 1)
        unknown = {21: bytes([head[21] & 0xF0, 0, 0, 0, 0])} if len(head) == FLAC_HEAD else {}
        yield track(soundfile, window.part(start, end, unknown), notes, said=said)


def ogg_files(soundfile: Any, window: Window, notes: Notes) -> Iterator[Track]:
    """Ogg files, one or more streams behind each other."""
    found = ogg.links(window, notes)
    if len(found) > 1:
        notes.did(f"{len(found)} Ogg streams in one file were read one after the other")
    if not found:
        raise NotReadableError("no stream begins in the Ogg file")
    for link in found:
        yield track(soundfile, window.part(link.start, link.end), notes)


def mp3(soundfile: Any, window: Window, notes: Notes) -> Iterator[Track]:
    """MPEG audio: all frames of all recordings in the file.

    The delay of encoder and decoder is taken away where a tag gives it, as libsndfile does it.
    """
    found = mpeg.segments(window.read_at(0, window.size), notes)
    if len(found) > 1:
        notes.did(f"{len(found)} MP3 recordings in one file were read one after the other")
    if not found:
        raise NotReadableError("it holds no MPEG frames")
    for segment in found:
        yield _recording(soundfile, segment, notes)


def _recording(soundfile: Any, segment: mpeg.Segment, notes: Notes) -> Track:
    said, there, frame = segment.said, segment.count, segment.frame
    if said is None:
        # libsndfile guesses the end from the first bit rate and the length of the file: make the file long enough.
        zeros = 2 * max(map(len, segment.pieces[:2])) * (there + 2)
        window = _window(b"".join(segment.pieces), zeros)
        return track(soundfile, window, notes, limit=segment.samples, said=segment.samples, walked=True)
    if said < there:
        notes.did(f"the MP3's tag counts {said} frames: all {there} were read")
        return track(soundfile, _window(segment.corrected()), notes, said=0, walked=True)
    if said > there + 1:  # some encoders count the tag as a frame
        lost = share(there * frame.samples, said * frame.samples, frame.rate)
        notes.warn(f"the sound is cut short: {lost} are there")
        return track(soundfile, _window(segment.corrected()), notes, said=0, walked=True)
    window = _window(b"".join([segment.tag, *segment.pieces]))
    return track(soundfile, window, notes, said=0 if said > there else None, walked=True)


def _reason(error: Exception) -> str:
    """What libsndfile says, without the file object that soundfile puts before it."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").strip(" .")


def _window(data: bytes, zeros: int = 0) -> Window:
    return Window(io.BytesIO(data), 0, len(data), zeros=zeros)


def _places(window: Window, sign: bytes) -> list[int]:
    """Where `sign` occurs."""
    found, offset = [], 0
    while offset < window.size:
        data = window.read_at(offset, PIECE + len(sign) - 1)
        at = data.find(sign)
        while at >= 0:
            found.append(offset + at)
            at = data.find(sign, at + 1)
        offset += PIECE
    return found
