"""Clients of `mimi serve` in real time: how long each frame takes from the microphone to its sound.

    python benches/session_clients.py ws://127.0.0.1:8765/v1 --sessions 4 --seconds 60 --warm 10

A client sends a frame when its last sample would have been recorded, whether or not the frames before are back, and
sends codes back as soon as they come, as a fast language model would. So a frame's time runs from that moment, through
the encoder, the network and the decoder, to the arrival of its last sample. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

PCM, CODES = 1, 2


@dataclass
class Client:
    """One caller, and when what belongs to each of its frames has come."""

    socket: ClientConnection
    frame_size: int
    period: float
    frames: int
    sound: bytes
    coded: list[float] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)

    async def speak(self, start: float) -> None:
        for frame in range(self.frames):
            await asyncio.sleep(max(0.0, start + frame * self.period - time.perf_counter()))
            await self.socket.send(self.sound)
        await self.socket.send(json.dumps({"type": "end", "of": "pcm"}))

    async def listen(self) -> None:
        samples = 0
        async for message in self.socket:
            now = time.perf_counter()
            if isinstance(message, str):
                fields = json.loads(message)
                if fields["type"] != "end":
                    raise RuntimeError(f"expected codes and sound, got {message}")
                if fields["of"] == "codes":
                    await self.socket.send(json.dumps({"type": "end", "of": "codes"}))
            elif message[0] == CODES:
                await self.socket.send(message)
                self.coded += [now] * ((len(message) - 2) // 11)  # 8 codebooks of 2048 are 11 bytes
            else:
                samples += (len(message) - 1) // 2
                self.heard += [now] * (samples // self.frame_size - len(self.heard))

    async def talk(self, start: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.speak(start))
            tasks.create_task(self.listen())


async def join(url: str, seconds: float, seed: int) -> Client:
    socket = await connect(url, max_size=None)
    hello = json.loads(await socket.recv())
    await socket.send(json.dumps({"type": "start", "mode": "duplex", "codebooks": 8}))
    ready = json.loads(await socket.recv())
    if ready["type"] != "ready":
        raise RuntimeError(f"expected a session, got {ready}")
    noise = np.random.default_rng(seed).normal(0, 3000, hello["frame_size"]).clip(-32768, 32767).astype("<i2")
    period = hello["frame_size"] / hello["sample_rate"]
    return Client(socket, hello["frame_size"], period, round(seconds / period), bytes([PCM]) + noise.tobytes())


async def measure(url: str, sessions: int, seconds: float, warm: float, together: bool) -> dict[str, float]:
    clients = [await join(url, warm + seconds, seed) for seed in range(sessions)]
    period = clients[0].period
    first = time.perf_counter() + 0.2
    # unless they are to speak in step, clients begin anywhere within a frame, as callers do
    offsets = np.zeros(sessions) if together else np.random.default_rng(0).random(sessions) * period
    await asyncio.gather(*(client.talk(first + offset) for client, offset in zip(clients, offsets, strict=True)))
    skipped = round(warm / period)
    back, coded = [], []
    for client, offset in zip(clients, offsets, strict=True):
        due = first + offset + np.arange(client.frames) * period
        back.append((np.array(client.heard) - due)[skipped:])
        coded.append((np.array(client.coded) - due)[skipped:])
    return summary(np.concatenate(back), np.concatenate(coded), period)


def summary(back: np.ndarray, coded: np.ndarray, period: float) -> dict[str, float]:
    p50, p99, p999 = 1000 * np.quantile(back, [0.5, 0.99, 0.999])
    return {
        "frames": len(back),
        "late": int((back > period).sum()),
        "coded_p50": 1000 * float(np.median(coded)),
        "p50": float(p50),
        "p99": float(p99),
        "p999": float(p999),
        "most": 1000 * float(back.max()),
        "processor": time.process_time(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60, help="that are measured")
    parser.add_argument("--warm", type=float, default=10, help="seconds before, in which windows fill")
    parser.add_argument("--together", action="store_true", help="all send at the same moment")
    args = parser.parse_args()
    print(json.dumps(asyncio.run(measure(args.url, args.sessions, args.seconds, args.warm, args.together))))


if __name__ == "__main__":
    main()
