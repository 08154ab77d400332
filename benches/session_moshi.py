"""moshi's `MimiModel` on PyTorch, in its own batches, behind the server and the scheduler of this package.

    python benches/session_moshi.py WEIGHTS --slots 4 --threads 1

The socket, the messages and the choice of what goes into one call are those of `mimi serve`; only the arithmetic is
moshi's. It computes all slots of a batch in each call, also those that have nothing to say, so give it as many slots as
there are clients. WEIGHTS is a directory as `compare.py` writes it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mimi_codec import Mimi
from mimi_codec.serve import Server, Settings

os.environ["NO_TORCH_COMPILE"] = "1"


class Half:
    """One direction of moshi's codec with the calls of a stream. Each has a codec of its own, and so its own masks."""

    def __init__(self, weights: Path, rows: int, codebooks: int) -> None:
        import torch
        from moshi.models import loaders

        self.torch, self.batch_size, self.num_codebooks = torch, rows, codebooks
        self.frames = np.zeros(rows, np.int64)
        self.codec = loaders.get_mimi(
            weights / "kyutai" / "model.safetensors", device="cpu", num_codebooks=codebooks
        ).eval()
        self.codec.streaming_forever(rows)

    def reset(self, rows: np.ndarray) -> None:
        with self.torch.inference_mode():
            self.codec.reset_streaming(self.torch.from_numpy(rows))
        self.frames[rows] = 0

    def run(self, call: Any, batch: np.ndarray, active: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            self.codec.set_exec_mask(self.torch.from_numpy(active))
            return call(self.torch.from_numpy(batch)).numpy()


class Encoder(Half):
    """Audio to codes."""

    of_latents = False

    def push(self, batch: np.ndarray, *, active: np.ndarray) -> np.ndarray:
        if not batch.shape[2]:
            return np.zeros((self.batch_size, self.num_codebooks, 0), np.int64)
        self.frames[active] += batch.shape[2] // self.codec.frame_size
        return self.run(self.codec.encode, batch, active)

    def flush(self, **_: Any) -> np.ndarray:
        return np.zeros((self.batch_size, self.num_codebooks, 0), np.int64)


class Decoder(Half):
    """Codes to audio."""

    of_latents = False

    def push(self, batch: np.ndarray, *, lengths: np.ndarray, active: np.ndarray) -> np.ndarray:
        assert (lengths[active] == batch.shape[2]).all(), "moshi takes rows of one length"
        return self.run(self.codec.decode, batch, active)

    def flush(self, **_: Any) -> None:
        pass


class MoshiInside(Mimi):
    """This package's model for what a server asks of it, and moshi's for its streams."""

    weights: ClassVar[Path]

    def encoder_stream(self, batch_size: int, num_codebooks: int) -> Encoder:
        return Encoder(self.weights, batch_size, num_codebooks)

    def decoder_stream(self, batch_size: int) -> Decoder:
        return Decoder(self.weights, batch_size, self.num_codebooks)


def serve(args: argparse.Namespace) -> Server:
    import torch

    torch.set_num_threads(args.threads)
    MoshiInside.weights = args.weights
    model = MoshiInside.from_pretrained(args.weights / "transformers", num_codebooks=8, threads=1)
    return Server(model, Settings(port=0, slots=args.slots))


async def run(server: Server) -> None:
    async with server:
        print(f"moshi: serving at {server.url}", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    asyncio.run(run(serve(parser.parse_args())))


if __name__ == "__main__":
    main()
