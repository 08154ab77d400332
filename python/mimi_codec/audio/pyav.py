"""Everything that libsndfile does not read, through PyAV (FFmpeg): M4A, AAC, WebM, Matroska, video's sound track."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._arrays import Float32Array
from ..errors import AudioError
from .notes import Notes
from .source import Window
from .track import NotReadableError, Track

# Formats that are a file of their own. Playlists are not among them: they name other files and addresses.
DEMUXERS = (
    "aac,ac3,aea,aiff,amr,amrnb,amrwb,ape,asf,ast,au,avi,caf,dsf,dts,eac3,flac,flv,iff,ircam,live_flv,loas,matroska,mlp,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,nut,ogg,oma,paf,qcp,rm,rso,shorten,sox,spdif,swf,tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xa,xwma"
)

EXACT = {"mov", "matroska", "avi", "asf", "ape", "caf", "tta", "wv"}  # formats that say how long they are
ROUNDING = 0.1  # seconds: headers count in whole frames of up to 43 ms, with or without the encoder's delay

# PyAV looks for the planes of a frame up to the first that is not there; with eight there is none, and it reads on.
MOST_PLANES = 8


def module() -> Any | None:
    """PyAV, if it is there."""
    try:
        import av
    except (ImportError, OSError):
        return None
    return av


def tracks(av: Any, window: Window, notes: Notes) -> Iterator[Track]:
    """The first sound track of a file."""
    try:
        container = av.open(window, options={"format_whitelist": DEMUXERS}, **_readable_tags(av))
    except (av.FFmpegError, ValueError, RuntimeError) as error:
        window.check()
        raise NotReadableError(_reason(error)) from error
    notes.decoders.callback(container.close)
    window.check()
    with container:
        streams = container.streams.audio
        if not streams:
            raise AudioError("it holds no sound that can be read")
        if len(streams) > 1:
            notes.warn(f"the first of {len(streams)} sound tracks was read")
        stream = streams[0]
        if stream.codec_context is None:
            raise AudioError("its sound track is of a kind that cannot be decoded")
        notes.format = f"{container.format.long_name}, {stream.codec_context.codec.long_name}"
        yield from _Decoder(av, container, stream, window, notes).tracks()


def _readable_tags(av: Any) -> dict[str, str]:
    """Options for tags that are not UTF-8: before PyAV 19 they were errors unless it was told otherwise."""
    return {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


def _length(container: Any, stream: Any) -> float:
    """Seconds of sound by the header, or 0 where there is no header but a guess from the bit rate."""
    if not EXACT & set(container.format.name.split(",")):
        return 0.0
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska, as FFmpeg writes it
    minutes, _, seconds = rest.partition(":")
    try:
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        alone = len(container.streams) == 1 and container.duration
        return container.duration / 1e6 if alone else 0.0  # microseconds


class _Decoder:
    """Frames as tracks: a new one begins where the rate or the channels change."""

    def __init__(self, av: Any, container: Any, stream: Any, window: Window, notes: Notes) -> None:
        self.av, self.container, self.stream = av, container, stream
        self.window, self.notes = window, notes
        self.said = _length(container, stream)
        self.lost = 0
        self.seconds = 0.0
        self.frames = self._frames()
        self.following = next(self.frames, None)

    def tracks(self) -> Iterator[Track]:
        while self.following is not None:
            kind = _kind(self.following)
            yield Track(*kind, None, self._blocks(kind))
        if self.lost:
            self.notes.warn(f"damaged packets of the sound track were passed over: {self.lost}")
        if self.seconds == 0:
            raise AudioError("none of its sound could be decoded")
        if self.seconds < self.said - ROUNDING:
            self.notes.warn(f"the sound is cut short: {self.seconds:.2f} s of {self.said:.2f} s are there")

    def _blocks(self, kind: tuple[int, int]) -> Iterator[Float32Array]:
        while self.following is not None and _kind(self.following) == kind:
            frame = self.following
            self.following = next(self.frames, None)
            block = _floats(self.av, frame)
            if self.following is None and self.said > self.seconds and "mov" in self.container.format.name:
                # Encoders fill up the last frame, and the header knows where the sound ends.
                block = block[: max(1, round((self.said - self.seconds) * frame.sample_rate))]
            self.seconds += len(block) / frame.sample_rate
            yield block

    def _frames(self) -> Iterator[Any]:
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except (self.av.FFmpegError, IndexError, ValueError) as error:  # the last two of damaged MPEG streams
                self.window.check()
                self.notes.warn(f"the file ends early or is damaged: {_reason(error)}")
                return
            self.window.check()
            if packet is None:
                return
            try:
                decoded = packet.decode()
            except (self.av.FFmpegError, ValueError):
                self.lost += 1
                continue
            yield from (frame for frame in decoded if frame.samples)


def _kind(frame: Any) -> tuple[int, int]:
    return frame.sample_rate, frame.layout.nb_channels


def _floats(av: Any, frame: Any) -> Float32Array:
    """(n, channels) in [-1, 1]."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels >= MOST_PLANES:
        packer = av.AudioResampler("flt", frame.layout, frame.sample_rate)
        packed = [piece.to_ndarray() for piece in [*packer.resample(frame), *packer.resample(None)]]
        return np.concatenate(packed, axis=1).reshape(-1, channels)
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if values.dtype.kind == "f":
        return np.ascontiguousarray(values, np.float32)
    bits = 8 * values.dtype.itemsize
    middle = 128 if values.dtype.kind == "u" else 0
    scaled: Float32Array = ((values.astype(np.float64) - middle) * 2.0 ** (1 - bits)).astype(np.float32)
    return scaled


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
