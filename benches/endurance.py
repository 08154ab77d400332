"""A day of conversations through one `mimi serve`, faster than real time: its memory, and whether each answer is right.

    pip install '.[serve]' && python benches/endurance.py --hours 24 --callers 16

Full-duplex callers with the embedded model send messages of one frame, get the codes, send them back, and get the
sound. One stays for all the time; the others come and go, and some hang up in the middle of a word. A caller sends the
beginning of one clip, so what it gets must be the beginning of what `encode` and `decode` make of it, to the last bit;
that of the one that stays is counted. Hours are those of the sound that callers speak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mimi_codec import Mimi, read_audio
from mimi_codec.audio import to_int16
from mimi_codec.demo_files import demo_clip
from mimi_codec.serve import pack_codes

PCM, CODES, CODEBOOKS = 1, 2, 8
AHEAD = 4  # frames that a caller has under way
LONGEST = 3000  # frames of a caller that comes and goes: four minutes


@dataclass
class Clip:
    """What all say, frame by frame, and what the answers are."""

    said: list[bytes]
    coded: list[bytes]
    heard: bytes

    @classmethod
    def made(cls, model: Mimi) -> Clip:
        pcm = to_int16(np.resize(read_audio(demo_clip(), model.sample_rate), LONGEST * model.frame_size))
        codes = model.encode(pcm, CODEBOOKS)
        said = [bytes([PCM]) + piece.tobytes() for piece in np.split(pcm, LONGEST)]
        coded = [pack_codes(codes[:, t : t + 1], model.codebook_size) for t in range(LONGEST)]
        return cls(said, coded, to_int16(model.decode(codes)).tobytes())


@dataclass
class Day:
    """How far it is, and what was seen."""

    clip: Clip
    total: int
    frames: int = 0
    sessions: int = 0
    hung_up: int = 0

    @property
    def over(self) -> bool:
        return self.frames >= self.total


class Caller:
    """One conversation of a number of frames, or of as many as the day has."""

    def __init__(self, day: Day, socket: ClientConnection, frames: int | None) -> None:
        self.day, self.socket, self.frames = day, socket, frames
        self.ahead = asyncio.Semaphore(AHEAD)
        self.sent = self.coded = 0
        self.heard = 0  # bytes

    async def talk(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.speak())
            tasks.create_task(self.listen())

    async def speak(self) -> None:
        said = self.day.clip.said
        while self.sent != self.frames and not self.day.over:
            await self.ahead.acquire()
            await self.socket.send(said[self.sent % LONGEST])
            self.sent += 1
        await self.socket.send('{"type":"end","of":"pcm"}')

    async def listen(self) -> None:
        async for message in self.socket:
            if isinstance(message, str):
                await self.ended(json.loads(message))
            elif message[0] == CODES:
                self.check_codes(message)
                await self.socket.send(message)
            else:
                self.check_sound(message[1:])
                self.day.frames += 1
                self.ahead.release()
        assert self.coded == self.sent, f"{self.sent} frames were sent, and {self.coded} came back"
        assert self.heard == self.sent * (len(self.day.clip.said[0]) - 1)

    async def ended(self, fields: dict[str, object]) -> None:
        assert fields["type"] == "end", fields
        if fields["of"] == "codes":
            await self.socket.send('{"type":"end","of":"codes"}')

    def check_codes(self, message: bytes) -> None:
        assert self.frames is None or message == self.day.clip.coded[self.coded], f"frame {self.coded}: other codes"
        self.coded += 1

    def check_sound(self, sound: bytes) -> None:
        right = self.day.clip.heard[self.heard : self.heard + len(sound)]
        assert self.frames is None or sound == right, f"byte {self.heard}: other sound"
        self.heard += len(sound)


async def called(day: Day, url: str, frames: int | None) -> Caller:
    socket = await connect(url, max_size=None)
    assert json.loads(await socket.recv())["type"] == "hello"
    await socket.send(json.dumps({"type": "start", "mode": "duplex", "codebooks": CODEBOOKS}))
    ready = json.loads(await socket.recv())
    assert ready["type"] == "ready", ready
    day.sessions += 1
    return Caller(day, socket, frames)


async def come_and_go(day: Day, url: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    while not day.over:
        caller = await called(day, url, int(rng.integers(1, LONGEST)))
        if rng.random() < 0.2:
            await hang_up(day, caller, int(rng.integers(1, LONGEST // 4)))
        else:
            await caller.talk()


async def hang_up(day: Day, caller: Caller, after: int) -> None:
    """Talk for a while, and then be gone without a word."""
    talk = asyncio.create_task(caller.talk())
    while caller.coded < after and not talk.done():
        await asyncio.sleep(0.01)
    caller.socket.transport.abort()
    try:
        await talk
    except* ConnectionClosed:
        day.hung_up += 1


def kept(pid: int) -> tuple[float, int, int]:
    """Resident megabytes, open files and threads of a process."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return int(fields["VmRSS"].split()[0]) / 1024, files, int(fields["Threads"])


async def watch(day: Day, pid: int, marks: int) -> None:
    print("| hours of sound | sessions so far | resident MB | open files | threads | wall s |")
    print("|---|---|---|---|---|---|")
    began = time.monotonic()
    for mark in range(1, marks + 1):
        while day.frames < day.total * mark / marks:
            await asyncio.sleep(0.05)
        memory, files, threads = kept(pid)
        hours = day.frames / 12.5 / 3600
        wall = time.monotonic() - began
        print(f"| {hours:.2f} | {day.sessions} | {memory:.1f} | {files} | {threads} | {wall:.0f} |", flush=True)


async def run(url: str, pid: int, args: argparse.Namespace) -> None:
    day = Day(Clip.made(Mimi.demo()), round(args.hours * 3600 * 12.5))
    print(f"before the first caller: {kept(pid)[0]:.1f} MB\n")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(day, pid, args.marks))
        tasks.create_task((await called(day, url, None)).talk())
        for seed in range(args.callers - 1):
            tasks.create_task(come_and_go(day, url, seed))
    print(f"\n{day.sessions} sessions, {day.hung_up} of them hung up; all that the others got was right")


@contextmanager
def serving(words: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen([sys.executable, "-m", "mimi_codec", "serve", *words], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"serving at (http://\S+/)", line)
        assert found, line
        yield process, found[1].replace("http", "ws") + "v1"
    finally:
        process.terminate()
        _, said = process.communicate()
        print(f"the server ended with {process.returncode}, and had said: {said.strip()!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--marks", type=int, default=24, help="lines of the table")
    args = parser.parse_args()
    with serving(["demo", "--port", "0", "--slots", str(args.callers + 4)]) as (process, url):
        asyncio.run(run(url, process.pid, args))


if __name__ == "__main__":
    main()
