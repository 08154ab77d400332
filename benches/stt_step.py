"""Time the codec inside KyutaiSpeechToText, which encodes one frame of 1920 samples a step, before every token.

The released codec's size with random weights under a small random language model. `generate` runs in turn with the
codec of Transformers and with ours; only the calls of the codec's `encode` are timed. Every step must end within the
80 ms that a frame lasts.

    python benches/stt_step.py --frames 125 --threads 1
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import KyutaiSpeechToTextConfig, KyutaiSpeechToTextForConditionalGeneration, MimiModel

import mimi_codec
from mimi_codec.synthetic import write_synthetic
from mimi_codec.transformers import attach

FRAME = 1920
FRAME_MS = 80.0


def build(directory: Path) -> KyutaiSpeechToTextForConditionalGeneration:
    """A small random language model over all 32 codebooks of the codec in `directory`."""
    codec = MimiModel.from_pretrained(directory)
    codec.config.use_cache = True  # as in the released checkpoints
    config = KyutaiSpeechToTextConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        head_dim=32,
        ffn_dim=128,
        max_position_embeddings=100_000,
        codec_config=codec.config.to_dict(),
    )
    model = KyutaiSpeechToTextForConditionalGeneration(config).eval()
    model.codec_model.load_state_dict(codec.state_dict())
    model.codec_model.generation_config.use_cache = True
    model.generation_config.audio_window_size = 1
    model.generation_config.pad_token_id = config.pad_token_id
    model.generation_config.bos_token_id = config.bos_token_id
    return model


def run(model: KyutaiSpeechToTextForConditionalGeneration, pcm: torch.Tensor) -> tuple[torch.Tensor, list[float]]:
    """The tokens, and the milliseconds of each call of the codec."""
    codec, milliseconds = model.codec_model, []
    encode = codec.encode

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = encode(*arguments, **options)
        milliseconds.append(1000 * (time.perf_counter() - start))
        return result

    codec.encode = timed
    try:
        return model.generate(input_values=pcm, do_sample=False), milliseconds
    finally:
        del codec.encode


def main() -> None:
    """Measure and print one line a codec."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=125, help="frames of audio a round, 12.5 a second")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each of both codecs; one more warms up")
    parser.add_argument("--rows", type=int, default=1, help="clips at once")
    parser.add_argument("--threads", type=int, default=1, help="threads of either codec")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    pcm = 0.1 * torch.randn(options.rows, 1, options.frames * FRAME)
    with tempfile.TemporaryDirectory() as directory:
        model = build(write_synthetic(Path(directory)))
        original = model.codec_model
        ours = attach(model, threads=options.threads)
        times: dict[str, list[float]] = {"transformers": [], "mimi-codec": []}
        tokens = {}
        for turn in range(options.rounds + 1):
            for name, codec in (("transformers", original), ("mimi-codec", ours)):
                model.codec_model = codec
                tokens[name], milliseconds = run(model, pcm if turn else pcm[..., : 10 * FRAME])
                if turn:
                    times[name] += milliseconds
    print(
        f"mimi-codec {mimi_codec.__version__} ({ours.codec.simd}), transformers {transformers.__version__}, "
        f"torch {torch.__version__}; {options.rows} row(s), {options.threads} thread(s), "
        f"{len(times['mimi-codec'])} steps of {FRAME_MS:.0f} ms of audio"
    )
    for name, milliseconds in times.items():
        median, high, worst = np.percentile(milliseconds, [50, 95, 100])
        print(f"{name:>12}: median {median:6.2f} ms, 95 % {high:6.2f} ms, worst {worst:6.2f} ms a step")
    ratio = np.median(times["transformers"]) / np.median(times["mimi-codec"])
    same = torch.equal(tokens["transformers"], tokens["mimi-codec"])
    print(f"ours takes 1/{ratio:.1f} of the time; tokens {'equal' if same else 'differ'}")


if __name__ == "__main__":
    main()
