"""The codec of Pocket TTS: this package, Transformers and Kyutai's `pocket-tts` on the same weights, side by side.

    pip install '.[bench]' && pip install --no-deps pocket-tts==4.0.1 && python benches/pocket.py

Full-size random weights. One process and one thread; the work is interleaved, a round of all after a round of all.
What is measured is processor time, so that other work on the machine counts as little as it can. Prints a Markdown
table of medians and of how many times as much as ours they are. `pocket-tts` is left out where it is not installed;
besides PyTorch it imports `requests`, `sentencepiece`, `scipy` and `pydantic`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PocketTTSAudioTokenizerModel

import mimi_codec
from mimi_codec.synthetic import write_synthetic_latents

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "dropins"))
import kyutai_pocket

FRAMES_A_ROUND = 25
# The window of the decoder's attention is full after 250 positions of 16 a frame.
FRAMES_BEFORE = 16


class Ours:
    """This package."""

    package = "mimi-codec"

    def __init__(self, weights: Path) -> None:
        codec = mimi_codec.load(weights, threads=1)
        assert isinstance(codec, mimi_codec.LatentCodec)
        self.codec = codec

    def encode(self, pcm: torch.Tensor) -> np.ndarray:
        return self.codec.encode_latents(pcm[0, 0].numpy())

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        return self.codec.decode_latents(latents[0].T.numpy())[None, None]

    def restart(self, frames: int) -> None:
        self.stream = self.codec.decoder_stream()

    def decode_frame(self, latents: torch.Tensor) -> np.ndarray:
        return self.stream.push(latents[0].T.numpy())[None, None]


class Transformers:
    """`PocketTTSAudioTokenizerModel`. Its stream restarts the convolutions at each frame, so its frames have clicks."""

    package = "transformers"

    def __init__(self, weights: Path) -> None:
        self.model = PocketTTSAudioTokenizerModel.from_pretrained(weights).eval()

    def encode(self, pcm: torch.Tensor) -> np.ndarray:
        return self.model.encode(pcm).latents[0].T.numpy()

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        return self.model.decode(latents).audio_values.numpy()

    def restart(self, frames: int) -> None:
        self.cache = None

    def decode_frame(self, latents: torch.Tensor) -> np.ndarray:
        output = self.model.decode(latents, decoder_cache=self.cache, use_cache=True)
        self.cache = output.decoder_cache
        return output.audio_values.numpy()


class PocketTts:
    """Kyutai's PyTorch package, called as its `TTSModel` does."""

    package = "pocket-tts"

    def __init__(self, weights: Path) -> None:
        from pocket_tts.modules import stateful_module

        self.states, self.model = stateful_module, kyutai_pocket.build(weights)

    def encode(self, pcm: torch.Tensor) -> np.ndarray:
        return self.model.encode_to_latent(pcm)[0].T.numpy()

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        self.restart(latents.shape[1])
        return self.decode_frame(latents)

    def restart(self, frames: int) -> None:
        self.state = self.states.init_states(self.model, batch_size=1, sequence_length=16 * frames)

    def decode_frame(self, latents: torch.Tensor) -> np.ndarray:
        audio = self.model.decode_from_latent(latents, self.state)
        self.states.increment_steps(self.model, self.state, increment=16 * latents.shape[1])
        return audio.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=10, help="length of the clips")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory, torch.inference_mode():
        weights = write_synthetic_latents(directory)
        peers: dict[str, Any] = {"ours": Ours(weights), "transformers": Transformers(weights)}
        if importlib.util.find_spec("pocket_tts"):
            peers["pocket-tts"] = PocketTts(weights)
        print(table(peers, measure(peers, args.rounds, args.seconds), args.seconds))


def measure(peers: dict[str, Any], rounds: int, seconds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of the processor for each piece of work, of each peer. The first round is not counted."""
    rng = torch.Generator().manual_seed(1)
    pcm = 0.1 * torch.randn(1, 1, seconds * 24000, generator=rng)
    pcm = pcm[..., : pcm.shape[-1] // 1920 * 1920]
    reference = peers["ours"].encode(pcm)
    latents = torch.from_numpy(reference.T.copy())[None]
    times: dict[str, dict[str, list[float]]] = {name: {"frame": [], "decode": [], "encode": []} for name in peers}
    for number in range(rounds + 1):
        for name, peer in peers.items():
            times[name]["encode"].append(timed(peer.encode, pcm))
            times[name]["decode"].append(timed(peer.decode, latents))
            peer.restart(FRAMES_BEFORE + FRAMES_A_ROUND)
            peer.decode_frame(latents[:, :FRAMES_BEFORE])
            for i in range(FRAMES_BEFORE, FRAMES_BEFORE + FRAMES_A_ROUND):
                times[name]["frame"].append(timed(peer.decode_frame, latents[:, i : i + 1]))
        if number == 0:
            same(peers, pcm, latents)
            times = {name: {task: [] for task in tasks} for name, tasks in times.items()}
    return times


def timed(work: Callable[[torch.Tensor], object], given: torch.Tensor) -> float:
    start = time.process_time()
    work(given)
    return time.process_time() - start


def same(peers: dict[str, Any], pcm: torch.Tensor, latents: torch.Tensor) -> None:
    """All of them are the same codec: nobody is timed on something else."""
    expected = peers["ours"].encode(pcm), peers["ours"].decode(latents)
    for name, peer in peers.items():
        for ours, theirs in zip(expected, (peer.encode(pcm), peer.decode(latents)), strict=True):
            error = np.abs(ours - theirs).max() / np.abs(ours).max()
            assert error < 1e-4, f"{name} differs by {error:.1e}"


def table(peers: dict[str, Any], times: dict[str, dict[str, list[float]]], seconds: int) -> str:
    titles = {
        "frame": "decode a frame",
        "decode": f"decode {seconds} s",
        "encode": f"encode {seconds} s (a voice)",
    }
    versions = [f"{name} {importlib.metadata.version(peer.package)}" for name, peer in peers.items() if name != "ours"]
    lines = [
        f"One thread, {platform.machine()}, {mimi_codec.build_info()['simd']}, PyTorch {torch.__version__}; "
        f"processor time, medians of {len(times['ours']['decode'])} rounds; in brackets how many times ours.",
        "",
        f"| | ours | {' | '.join(versions)} |",
        f"|---|---|{'---|' * len(versions)}",
    ]
    for task, title in titles.items():
        medians = {name: statistics.median(values[task]) for name, values in times.items()}
        cells = [
            f"{1000 * value:.1f} ms" + (f" ({value / medians['ours']:.2f})" if name != "ours" else "")
            for name, value in medians.items()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
