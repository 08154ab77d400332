"""This codec in a loaded model of `qwen-tts`, and its speech while it is generated."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._arrays import Float32Array
from .._devices import Device
from ..errors import ConfigError, InputTypeError
from ..qwen import QwenCodec
from .clips import KIND, frames_of, tokenizer_codec
from .tokenizer import Qwen3TTSTokenizer


def attach(
    model: Any,
    codec: QwenCodec | str | os.PathLike[str] | None = None,
    *,
    threads: int | None = None,
    device: Device = "cpu",
    chunked: bool = False,
) -> Qwen3TTSTokenizer:
    """Replace the speech tokenizer of a loaded model of `qwen-tts`.

    Args:
        model: a `Qwen3TTSModel`, or the `Qwen3TTSForConditionalGeneration` in it; it is changed.
        codec: where the weights come from: None for those in `model` itself, the name or path of a checkpoint (of the
            tokenizer, or of a model that holds it), or a loaded codec, which many models can share.
        threads: threads that one call may use; None takes `MIMI_NUM_THREADS`, or 1. Not for a loaded codec.
        device: where the codec runs, as in `mimi_codec.load`. Not for a loaded codec.
        chunked: decode as `qwen-tts` does; see `Qwen3TTSTokenizer`.

    Returns:
        What took the place of the tokenizer.

    Raises:
        InputTypeError: `model` is not one of Qwen3-TTS with the 12 Hz tokenizer.
        ConfigError: `codec` is not of the size for which `model` was made.
        DeviceError: the device is not there, or something that it needs is missing.
        LoadError: the weights cannot be loaded.
        WeightsError: a tensor is missing, has a wrong shape, or is one too many.

    Example:
        >>> from types import SimpleNamespace
        >>> from mimi_codec.qwen_tts import attach
        >>> attach(SimpleNamespace())  # a qwen_tts.Qwen3TTSModel has a speech tokenizer
        Traceback (most recent call last):
        mimi_codec.errors.InputTypeError: expected a Qwen3TTSModel of qwen-tts, got SimpleNamespace
    """
    host = _host(model)
    original = host.speech_tokenizer
    inner = getattr(original, "model", None)
    found = None if inner is None else inner.get_model_type()
    if found not in (None, "qwen3_tts_tokenizer_12hz"):
        raise InputTypeError(f"expected a model with the 12 Hz tokenizer, got one with {found}")
    files = None
    if codec is not None:
        loaded = tokenizer_codec(codec, threads=threads, device=device)
    elif inner is None:
        raise InputTypeError(f"this {type(host).__name__} has no speech tokenizer yet: give the codec, codec=...")
    elif isinstance(original, Qwen3TTSTokenizer):
        loaded, files = original.codec, original._files
    else:
        from .._torch_state import write_state

        files = write_state(inner.state_dict(), inner.config.to_json_string(use_diff=False))
        loaded = tokenizer_codec(files.path, threads=threads, device=device)
    _check_same(host, inner, loaded)
    ours = Qwen3TTSTokenizer(loaded, chunked=chunked)
    ours._files = files
    if inner is not None:
        ours._config = inner.config
        ours.model.to(inner.device, inner.dtype)
    host.load_speech_tokenizer(ours)
    return ours


@contextmanager
def live(model: Any, play: Callable[[Float32Array], object], *, voice: Any = None) -> Iterator[None]:
    """Hear what a model says while it generates, frame by frame of 80 ms.

    The pieces one after another are the audio that the model returns in the end, bit for bit.

    Args:
        model: as for `attach`, with the tokenizer of this package.
        play: called with the audio of each frame, (frame_size,) float32, or (B, 1, frame_size) for several texts at
            once, where a text that has ended gives zeros. It runs in the thread that generates, which waits for it.
        voice: codes (T, K) of the clip whose voice is imitated, as `ref_code` in a prompt of `qwen-tts`; the model
            decodes what it says as going on from that clip. Only for one text.

    Yields:
        Nothing; generation is done inside of the `with` block.

    Raises:
        InputTypeError: `model` does not have the tokenizer of this package: call `attach` first.
        ConfigError: a voice for several texts.

    Example:
        >>> from types import SimpleNamespace
        >>> from mimi_codec.qwen_tts import live
        >>> with live(SimpleNamespace(), print):
        ...     pass
        Traceback (most recent call last):
        mimi_codec.errors.InputTypeError: expected a Qwen3TTSModel of qwen-tts, got SimpleNamespace
    """
    host = _host(model)
    if not isinstance(host.speech_tokenizer, Qwen3TTSTokenizer):
        raise InputTypeError("the model does not have the tokenizer of this package: call attach(model) first")
    codec = host.speech_tokenizer.codec
    stream, talking = None, np.zeros(0, np.bool_)

    def hear(module: Any, arguments: Any, output: Any) -> None:
        nonlocal stream, talking
        codes = output.hidden_states[-1]
        if codes is None:  # the text was read: a clip begins
            stream = None
            return
        frames = frames_of(codes)
        if stream is None:
            stream, talking = codec.decoder_stream(len(frames)), np.ones(len(frames), np.bool_)
            if voice is not None:
                if len(frames) != 1:
                    raise ConfigError(f"a voice is for one text, got {len(frames)} texts")
                stream.push(frames_of(voice).T)
        talking &= frames[:, 0] < codec.codebook_size  # a text ends with an id that is not a code
        if talking.any():
            pcm = stream.push(np.where(talking[:, None], frames, 0)[:, :, None], active=talking)
            play(pcm[0, 0] if len(frames) == 1 else pcm)

    hook = host.talker.register_forward_hook(hear)
    try:
        yield
    finally:
        hook.remove()


def _host(model: Any) -> Any:
    for host in (model, getattr(model, "model", None)):
        if hasattr(host, "load_speech_tokenizer"):
            return host
    raise InputTypeError(f"expected a Qwen3TTSModel of qwen-tts, got {type(model).__name__}")


def _check_same(host: Any, inner: Any, codec: QwenCodec) -> None:
    sizes = [("codebooks", host.config.talker_config.num_code_groups, codec.num_codebooks)]
    if inner is not None:
        sizes += [
            ("samples per frame", inner.get_decode_upsample_rate(), codec.frame_size),
            ("samples per second", inner.get_output_sample_rate(), codec.sample_rate),
        ]
    for name, expected, got in sizes:
        if expected != got:
            raise ConfigError(f"the model was made for a codec ({KIND}) of {expected} {name}, got one of {got}")
