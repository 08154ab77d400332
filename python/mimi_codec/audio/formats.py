"""Which decoder reads a file, by its first bytes, and which suffixes sound files have."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import AudioError
from . import containers, mpeg, plain, pyav, sndfile
from .notes import Notes
from .source import Window
from .tags import strip
from .track import AUDIO_HINT, AV_HINT, NotReadableError, Track

PLAIN_SUFFIXES = (".wav", ".wave", ".rf64", ".bw64", ".w64")
SNDFILE_SUFFIXES = (
    *(".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mp1", ".mpga"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph", ".nist"),
)
AV_SUFFIXES = (
    *(".m4a", ".m4b", ".aac", ".webm", ".weba", ".mka", ".mp4", ".m4v", ".mov", ".mkv", ".3gp", ".3g2"),
    *(".amr", ".ac3", ".eac3", ".wma", ".avi", ".flv", ".ts", ".mpg", ".mpeg", ".ape", ".wv", ".tta"),
)
AUDIO_SUFFIXES = (*PLAIN_SUFFIXES, *SNDFILE_SUFFIXES, *AV_SUFFIXES)
# What begins a file that may hold MPEG frames but is more than them: Matroska, MPEG-2, Flash, ASF, RealMedia, AVI
BEGINNINGS = (b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"FLV\x01", b"FWS", b"\x30\x26\xb2\x75", b".RMF", b"RIFF")
ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # of MP4 and QuickTime, behind a size
PACKET = 188  # bytes of an MPEG transport stream, each with the same mark in front


def readable_suffixes() -> tuple[str, ...]:
    """The suffixes of `AUDIO_SUFFIXES` whose files can be read with the packages that are installed.

    Returns:
        Suffixes with their dot, in lower case.

    Example:
        >>> from mimi_codec.audio import readable_suffixes
        >>> ".wav" in readable_suffixes()
        True
    """
    if sndfile.module() is None:
        return PLAIN_SUFFIXES
    if pyav.module() is None:
        return PLAIN_SUFFIXES + SNDFILE_SUFFIXES
    return AUDIO_SUFFIXES


def tracks(window: Window, notes: Notes) -> Iterator[Track]:
    """The sounds that a file holds, one behind the other.

    Raises:
        AudioError: it is not a sound file, it is damaged, or a package is missing that reads it.
    """
    if not window.size:
        raise AudioError("it is empty")
    window = strip(window)
    found = containers.find(window, notes)
    soundfile = sndfile.module()
    if soundfile is None:
        if found is None:
            raise AudioError(f"it is not a PCM WAV file; for other formats: {AUDIO_HINT}")
        yield plain.track(window, found, notes)
        return
    begun = False
    try:
        for track in _through_sndfile(soundfile, window, found, notes):
            begun = True
            yield track
        return
    except NotReadableError as error:
        if begun:
            raise AudioError(f"a part of it cannot be read: {error}") from error
        reason = str(error)
    av = pyav.module()
    if av is None:
        raise AudioError(f"{reason}; for more formats (M4A, WebM, video): {AV_HINT}")
    try:
        yield from pyav.tracks(av, window.part(0), notes)
    except NotReadableError as error:
        raise AudioError(f"libsndfile says: {reason}; FFmpeg says: {error}") from error


def _through_sndfile(
    soundfile: object, window: Window, found: containers.Container | None, notes: Notes
) -> Iterator[Track]:
    head = window.read_at(0, 16)
    if found is not None:
        if found.tag == containers.MP3 and mpeg.is_mpeg(window.read_at(found.start, 2 * mpeg.SEARCH)):
            return sndfile.mp3(soundfile, window.part(found.start, found.end), notes)
        # libsndfile insists on even offsets, and on 4 GiB at most where the size has 32 bits.
        refused = found.start % 2 or (found.name == "WAV" and found.end - found.start > 0xFFFFFFFF)
        if refused and found.name in ("WAV", "RF64") and found.tag in (containers.PCM, containers.FLOAT):
            return iter([plain.track(window, found, notes)])
        return _contained(soundfile, window, found, notes)
    if head[:4] == b"fLaC":
        return sndfile.flac(soundfile, window, notes)
    if head[:4] == b"OggS":
        return sndfile.ogg_files(soundfile, window, notes)
    packets = window.read_at(0, 2 * PACKET + 1)[::PACKET]
    if head[4:8] in ATOMS or head.startswith(BEGINNINGS) or packets == b"GGG":
        raise NotReadableError("it does not know this format")
    if mpeg.is_mpeg(window.read_at(0, 2 * mpeg.SEARCH)):
        return sndfile.mp3(soundfile, window, notes)
    return iter([sndfile.track(soundfile, window, notes)])


def _contained(soundfile: object, window: Window, found: containers.Container, notes: Notes) -> Iterator[Track]:
    """Plain samples in their container, and those of files of the same kind that were joined to it."""
    following: containers.Container | None = found
    while following is not None:
        here = following
        said = (here.end - here.start) // here.frame if here.frame else None
        yield sndfile.track(soundfile, here.repaired(window), notes, said=said)
        following = None
        if here.following is not None:
            window = window.part(here.following)
            following = containers.find(window, notes)
            notes.did("files that were joined to one were read one after the other")
