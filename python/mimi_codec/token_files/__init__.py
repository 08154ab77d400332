"""Token files: the codes of one clip with what is needed to decode them.

* `content`: what a file holds, `Tokens`, and the codec its codes are of, `Codec`
* `formats`: reading every kind of file, told by its content, and writing, told by the suffix
* `arrays`: the arrays of `.safetensors`, `.npz` and `.npy` files, which may hold bare codes too
* `packed`, `packed_writer`, `packed_reader`: `.mcs`, a bit stream of codes for files and wires
* `moshi_cpp`: the `.mimi` files of moshi.cpp
* `latents`: `.safetensors` and `.npz` files of continuous latents, of codecs without codebooks

The tokens of language models, which are codes in rows with delays, are in `mimi_codec.tokens`.
"""

from .content import KYUTAI, Codec, Tokens
from .formats import SUFFIXES, FileFormat, format_by_suffix, read_tokens, write_tokens
from .latents import Latents, read_latents, write_latents
from .packed import PackedHeader
from .packed_reader import PackedReader, StreamingReader
from .packed_writer import PackedWriter

__all__ = [
    "KYUTAI",
    "SUFFIXES",
    "Codec",
    "FileFormat",
    "Latents",
    "PackedHeader",
    "PackedReader",
    "PackedWriter",
    "StreamingReader",
    "Tokens",
    "format_by_suffix",
    "read_latents",
    "read_tokens",
    "write_latents",
    "write_tokens",
]
