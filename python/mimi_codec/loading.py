"""Loading a codec of any kind: which one it is, its files say."""

from __future__ import annotations

import os

from . import _core
from ._devices import Device
from ._options import Parts, check_options
from .codec import load_named
from .latent_codec import LatentCodec
from .model import Mimi
from .qwen import QwenCodec
from .token_codec import TokenCodec
from .vibevoice import VibeVoice

__all__ = ["check_packed", "load"]

CLASSES: dict[str, type[TokenCodec] | type[LatentCodec]] = {
    "mimi": Mimi,
    "code2wav": QwenCodec,
    "qwen3-tts": QwenCodec,
    "vibevoice": VibeVoice,
    "vibevoice-encoder": VibeVoice,
}


def load(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    parts: Parts = "both",
    num_codebooks: int | None = None,
    threads: int | None = None,
    dtype: str = "auto",
    device: Device = "cpu",
    module: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
) -> TokenCodec | LatentCodec:
    """Load a codec from a directory, a safetensors file, or the Hugging Face hub, whichever codec it is.

    The files may be the codec's own, or those of a larger model that has it inside, in one or in many shards, or in the
    folder `speech_tokenizer`: only the tensors of the codec are read, and from the hub only the shards or the folder
    that hold them are fetched.

    What there is, by its `kind`:

    * "mimi", a `Mimi`: Kyutai's Mimi
    * "pocket-tts", a `LatentCodec`: audio tokenizer of Pocket TTS
    * "code2wav", a `QwenCodec`: decoder of Qwen3-Omni
    * "qwen3-tts", a `QwenCodec`: 12 Hz tokenizer of Qwen3-TTS
    * "vibevoice", a `VibeVoice`: acoustic tokenizer of VibeVoice
    * "vibevoice-encoder", a `VibeVoice`: semantic tokenizer of VibeVoice, and both encoders of VibeVoice-ASR

    Args:
        name_or_path: an existing path, or a repository such as "kyutai/mimi".
        revision: branch, tag or commit of the repository.
        parts: "encoder" or "decoder" loads that half alone.
        num_codebooks: load only the first ones; None loads all. A codec of latents has none.
        module: which module of a larger model is meant, such as "semantic_tokenizer_encoder", where it has several
            codecs. Without it an encoder alone gives way to a whole codec.
        threads, dtype, device, local_files_only, cache_dir, token: as in `Mimi.from_pretrained`.

    Returns:
        A `TokenCodec`, such as `Mimi`, or for a codec without codebooks a `LatentCodec`.

    Raises:
        LoadError: nothing of that name, no network, or a corrupt file.
        WeightsError: a tensor is missing, has a wrong shape, or is one too many.
        ConfigError: the configuration is not supported, or an option is outside its range.
        DeviceError: there is no such device, or something that it needs is missing: the text says what to install.

    Example:
        >>> import mimi_codec
        >>> mimi_codec.Mimi.demo().save("demo")
        >>> mimi_codec.load("demo").kind
        'mimi'
    """
    loaded = load_named(
        name_or_path,
        check_options(parts, num_codebooks, threads, dtype, device, module),
        revision=revision,
        local_files_only=local_files_only,
        cache_dir=cache_dir,
        token=token,
    )
    return CLASSES.get(loaded.core.kind, LatentCodec)._of(loaded)


def check_packed(path: str | os.PathLike[str]) -> None:
    """Read all of a packed or compact file, and compare the weights in it with their checksums.

    Loading a packed file does not read the weights, and so does not see what was damaged since they were packed. A file
    can be checked on any machine, whatever processor it is packed for.

    Args:
        path: a file that `save(packed=True)`, `save(dtype=...)` or `mimi pack` wrote.

    Raises:
        LoadError: a file that cannot be read, is not packed, or is damaged.

    Example:
        >>> from mimi_codec import Mimi, check_packed
        >>> Mimi.demo().save("demo.packed", packed=True)
        >>> check_packed("demo.packed")
    """
    _core.check_packed(os.fspath(path))
