"""Transformers' caches as the places where our streams live.

Transformers hands a codec two objects per stream, a padding cache and a key/value cache, and never looks into them.
Here one stream of this package is the whole state, and every cache object of a clip refers to it.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, NoReturn, TypeVar

from ..errors import StreamError
from ..streams import DecoderStream, EncoderStream
from .installed import DynamicCache

ATTRIBUTE = "mimi_codec_stream"

Stream = TypeVar("Stream", EncoderStream, DecoderStream)


class StreamCache(DynamicCache):
    """What is returned where Transformers returns a key/value cache. It refers to a stream and holds no tensors.

    Args:
        positions_per_frame: positions of the codec's transformer for each frame.

    Example:
        >>> import torch
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.transformers import MimiModel
        >>> out = MimiModel(Mimi.demo()).decode(torch.zeros(1, 8, 3, dtype=torch.long), use_cache=True)
        >>> out.decoder_cache.get_seq_length()
        6
    """

    def __init__(self, positions_per_frame: int) -> None:
        super().__init__()
        self.positions_per_frame = positions_per_frame

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How far the stream has come.

        Args:
            layer_idx: accepted; all layers are equally far.

        Returns:
            Positions of the codec's transformer seen so far, of the row that has seen most.
        """
        stream = getattr(self, ATTRIBUTE, None)
        return 0 if stream is None else max(stream.frames) * self.positions_per_frame

    def reset(self) -> None:
        """Begin a new clip."""
        stream = getattr(self, ATTRIBUTE, None)
        if stream is not None:
            stream.reset()

    def _refuse(self, *arguments: Any, **options: Any) -> NoReturn:
        raise StreamError("a codec stream cannot be cropped, and its rows cannot be repeated or reordered")

    # Beam search would call these; without tensors to work on they would silently do nothing.
    crop = reorder_cache = batch_repeat_interleave = batch_select_indices = _refuse


def take_cache(given: Any, options: MutableMapping[str, Any], names: tuple[str, ...]) -> Any:
    """Take the one cache that was given, under whichever name, out of a call's arguments.

    Args:
        given: The cache under the newest name, or None.
        options: The other arguments of the call; the names that are found here are removed.
        names: The names of this cache. `cache` and `past_key_values` are among them where a call has only one.

    Returns:
        The cache, or None where no name has one.

    Raises:
        StreamError: Two names have different caches.
    """
    for name in names:
        other = options.pop(name, None)
        if other is None:
            continue
        if given is not None and other is not given:
            raise StreamError(f"{name} is another name of {names[0]}; two different caches were given under them")
        given = other
    return given


def take_stream(
    kind: type[Stream], batch_size: int, create: Callable[[], Stream], *caches: Any, latents: bool = False
) -> Stream:
    """The stream (of codes, or of latents) to which the caches refer, or a new one to which all of them then refer.

    Raises `StreamError` if they refer to two streams, hold the state of another codec, or are for other rows.
    """
    given = [cache for cache in caches if cache is not None]
    streams = [getattr(cache, ATTRIBUTE) for cache in given if hasattr(cache, ATTRIBUTE)]
    if not streams:
        for cache in given:
            _check_unused(cache)
        stream = create()
    else:
        stream = streams[0]
        if any(other is not stream for other in streams):
            raise StreamError("the caches given belong to different streams; pass those returned by the same call")
    if not isinstance(stream, kind):
        raise StreamError(f"expected the cache of an {kind.__name__}, got that of an {type(stream).__name__}")
    if stream.of_latents != latents:
        codes_or_latents = ("codes", "latents")
        raise StreamError(
            f"expected the cache of a stream of {codes_or_latents[latents]}, "
            f"got that of one of {codes_or_latents[stream.of_latents]}"
        )
    if stream.batch_size != batch_size:
        raise StreamError(f"the cache is for a batch of {stream.batch_size}, got a batch of {batch_size}")
    for cache in given:
        setattr(cache, ATTRIBUTE, stream)
    return stream


def _check_unused(cache: Any) -> None:
    """Refuse a cache in which Transformers' own codec has already put tensors."""
    padding = getattr(cache, "padding_cache", ())
    layers = getattr(cache, "layers", None)  # VibeVoice's padding cache has them by name
    named = isinstance(layers, dict) and bool(layers)
    positions = cache.get_seq_length() if hasattr(cache, "get_seq_length") else 0
    if any(tensor is not None for tensor in padding) or positions or named:
        raise StreamError(f"this {type(cache).__name__} holds the state of another codec; begin with a new one")
