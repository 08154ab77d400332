"""Sound files for the tests, made by soundfile, PyAV and struct."""

import io
import struct

import numpy as np

RATE = 24000
SECONDS = 3


def speechlike(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """A swelling tone with noise in its second half, so that variable bit rates vary."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(5).standard_normal(len(time)) * (time > seconds / 2)
    return (
        ((0.3 - 0.1 * np.cos(9 * time)) * np.sin(2 * np.pi * 440 * time) + 0.08 * noise).clip(-1, 1).astype(np.float32)
    )


def encoded(
    pcm: np.ndarray, kind: str, subtype: str | None = None, endian: str | None = None, rate: int = RATE
) -> bytes:
    """(L,) or (L, C) samples as a file by soundfile."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, pcm, rate, format=kind, subtype=subtype, endian=endian)
    return file.getvalue()


def by_av(
    pcm: np.ndarray,
    muxer: str,
    codec: str,
    rate: int = RATE,
    options: dict[str, str] | None = None,
    tracks: int = 1,
    layout: str = "mono",
):
    """(L,) or (C, L) samples as a file by PyAV, with as many sound tracks as asked for."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=muxer, options=options or {}) as container:
        streams = [container.add_stream(codec, rate=rate, layout=layout) for _ in range(tracks)]
        for stream in streams:
            stream.codec_context.open()
        for stream in streams:
            context = stream.codec_context
            resampler = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
            interleaved = np.ascontiguousarray(np.atleast_2d(pcm).T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(interleaved, "flt", layout)
            frame.rate, frame.pts = rate, 0
            for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
                container.mux(stream.encode(piece))
    return file.getvalue()


def mp3(pcm: np.ndarray, rate: int = RATE) -> bytes:
    """Variable bit rate, with a Xing tag that knows the encoder's delay."""
    return encoded(pcm, "MP3", rate=rate)


def mp3_frame(head: bytes) -> int:
    """Bytes of the MPEG-2 layer III frame that begins so."""
    kbits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[head[2] >> 4]
    return 72 * 1000 * kbits // (22050, 24000, 16000)[head[2] >> 2 & 3] + (head[2] >> 1 & 1)


def without_tag(data: bytes) -> bytes:
    """The MP3 without its first frame, which holds the tag."""
    return data[mp3_frame(data) :]


def with_count(data: bytes, frames: int) -> bytes:
    """The MP3 with a tag that counts `frames`."""
    place = data.index(b"Xing") + 8
    return data[:place] + struct.pack(">I", frames) + data[place + 4 :]


def with_total(data: bytes, samples: int) -> bytes:
    """The FLAC with a header that counts `samples`."""
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | samples
    return data[:18] + fields.to_bytes(8, "big") + data[26:]


def bare_flac(data: bytes) -> bytes:
    """A FLAC file whose first block of metadata is its last."""
    start = 4
    while not data[start] & 0x80:
        start += 4 + int.from_bytes(data[start + 1 : start + 4], "big")
    start += 4 + int.from_bytes(data[start + 1 : start + 4], "big")
    return data[:4] + b"\x80" + data[5:42] + data[start:]


def put(data: bytes, place: int, layout: str, *values) -> bytes:
    """The bytes with others at `place`."""
    new = struct.pack(layout, *values)
    return data[:place] + new + data[place + len(new) :]


def wav(fmt: bytes, data: bytes, *, before: bytes = b"", behind: bytes = b"", order: str = "<") -> bytes:
    """A WAV file of any format chunk and more chunks."""
    parts = b"fmt " + struct.pack(order + "I", len(fmt)) + fmt + before
    parts += b"data" + struct.pack(order + "I", len(data)) + data + bytes(len(data) % 2) + behind
    return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(order + "I", 4 + len(parts)) + b"WAVE" + parts


def id3v2(content: bytes) -> bytes:
    """A tag for the front."""
    size = len(content)
    return b"ID3\x04\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + content


ID3V1 = b"TAG" + b"title".ljust(125, b"\0")


def ape(content: bytes) -> bytes:
    """An APE tag with header and footer."""
    size = len(content) + 32
    head = struct.pack("<8s4I8x", b"APETAGEX", 2000, size, 1, 0xA0000000)
    foot = struct.pack("<8s4I8x", b"APETAGEX", 2000, size, 1, 0x80000000)
    return head + content + foot
