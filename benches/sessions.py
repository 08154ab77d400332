"""How many full-duplex sessions have every frame of 80 ms back within 80 ms, on one pool and on two.

python benches/sessions.py [MODEL] --seconds 20 --most 64 --pools 1 2
"""

import argparse
import asyncio
import time

import numpy as np

import mimi_codec
from mimi_codec.aio import SessionPool


async def talk(session, frames: int, pcm: np.ndarray, start: float, period: float) -> list[float]:
    """One client in real time; seconds from each frame of the microphone to its sound."""
    late = []
    for frame in range(frames):
        due = start + frame * period
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        codes = await session.encoder.push(pcm)
        await session.decoder.push(codes)
        late.append(time.perf_counter() - due)
    return late


async def measure(model, sessions: int, pools: int, seconds: float, codebooks: int) -> np.ndarray:
    period = model.frame_size / model.sample_rate
    pcm = np.random.default_rng(0).normal(0, 0.1, model.frame_size).astype(np.float32)
    made = [SessionPool(model, -(-sessions // pools), num_codebooks=codebooks) for _ in range(pools)]
    try:
        clients = [made[number % pools].duplex() for number in range(sessions)]
        start = time.perf_counter() + 0.1
        frames = round(seconds / period)
        # clients begin anywhere within a frame, as callers do
        offsets = np.random.default_rng(1).random(sessions) * period
        times = await asyncio.gather(
            *(talk(c, frames, pcm, start + o, period) for c, o in zip(clients, offsets, strict=True))
        )
        return np.concatenate(times)
    finally:
        for pool in made:
            await pool.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="path or repository; the demo model without it")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--most", type=int, default=64)
    parser.add_argument("--pools", type=int, nargs="+", default=[1, 2])
    parser.add_argument("-k", type=int, default=8)
    options = parser.parse_args()
    load = mimi_codec.Mimi.from_pretrained
    model = load(options.model, threads=1) if options.model else mimi_codec.Mimi.demo()
    limit = model.frame_size / model.sample_rate
    print("pools sessions  p50 ms  p99 ms  p99.9 ms  max ms  all within a frame")
    for pools in options.pools:
        sessions = pools
        while sessions <= options.most:
            times = asyncio.run(measure(model, sessions, pools, options.seconds, options.k))
            p50, p99, p999 = 1000 * np.quantile(times, [0.5, 0.99, 0.999])
            fits = times.max() <= limit
            print(f"{pools:5} {sessions:8} {p50:7.1f} {p99:7.1f} {p999:9.1f} {1000 * times.max():7.1f}  {fits}")
            if not fits:
                break
            sessions = max(sessions + 1, sessions * 5 // 4)


if __name__ == "__main__":
    main()
