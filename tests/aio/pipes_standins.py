"""Stand-ins for the classes of FastRTC, Pipecat and LiveKit that the recipes use, with their signatures."""

from types import SimpleNamespace
from typing import Any, NamedTuple


class AsyncStreamHandler:
    def __init__(
        self, expected_layout="mono", output_sample_rate=24_000, output_frame_size=None, input_sample_rate=48_000
    ):
        self.output_sample_rate, self.input_sample_rate = output_sample_rate, input_sample_rate


async def wait_for_item(queue):
    return await queue.get()


class AudioRawFrame(NamedTuple):
    audio: bytes
    sample_rate: int
    num_channels: int


class InputAudioRawFrame(AudioRawFrame):
    pass


class FrameProcessor:
    def __init__(self):
        self.pushed = []

    async def process_frame(self, frame, direction):
        pass

    async def push_frame(self, frame, direction):
        self.pushed.append(frame)


class AudioFrame(NamedTuple):
    data: bytes
    sample_rate: int
    num_channels: int
    samples_per_channel: int


async def audio_stream(track, sample_rate, num_channels):
    for chunk in track:
        yield SimpleNamespace(frame=SimpleNamespace(data=memoryview(chunk.tobytes()).cast("h")))


def modules() -> dict[str, dict[str, Any]]:
    frames = {"InputAudioRawFrame": InputAudioRawFrame, "OutputAudioRawFrame": AudioRawFrame}
    rtc = SimpleNamespace(AudioStream=audio_stream, AudioFrame=AudioFrame)
    return {
        "fastrtc": {"AsyncStreamHandler": AsyncStreamHandler, "wait_for_item": wait_for_item},
        "pipecat": {},
        "pipecat.frames": {},
        "pipecat.frames.frames": frames,
        "pipecat.processors": {},
        "pipecat.processors.frame_processor": {"FrameProcessor": FrameProcessor},
        "livekit": {"rtc": rtc},
    }
