"""The recipes for FastRTC, Pipecat and LiveKit, on stand-ins for the few classes that they use."""

import asyncio
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
from pipes_standins import modules

import doc_code
from mimi_codec.aio import SessionPool


def test_recipes(monkeypatch, tmp_path, demo, speech):
    for name, names in modules().items():
        module = ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)
    space: dict = {"__name__": "example"}
    page = doc_code.ROOT / "docs/session_recipes.md"
    for code in doc_code.blocks(page):
        assert len(code.strip().splitlines()) < 40
        exec(compile(code, page, "exec"), space)
    samples = (speech[:19_200] * 32767).astype(np.int16)
    want = (np.clip(demo.decode(demo.encode(samples)), -1, 1) * 32767).astype(np.int16)
    chunks = np.split(samples, 20)

    async def main():
        async with SessionPool(demo, slots=1) as pool:
            handler = space["Echo"](pool).copy()
            await handler.start_up()
            heard = []
            for chunk in chunks:
                await handler.receive((24_000, chunk[None]))
            while not handler.queue.empty():
                heard.append((await handler.emit())[1][0])
            await handler.shutdown()
            np.testing.assert_array_equal(np.concatenate(heard), want)

            async with pool.duplex() as session:
                processor = space["Codec"](session)
                for chunk in chunks:
                    frame = sys.modules["pipecat.frames.frames"].InputAudioRawFrame(chunk.tobytes(), 24_000, 1)
                    await processor.process_frame(frame, "downstream")
                await processor.process_frame("end", "downstream")
            assert processor.pushed.pop() == "end"
            np.testing.assert_array_equal(np.frombuffer(b"".join(f.audio for f in processor.pushed), np.int16), want)

            captured = []

            async def capture(frame):
                captured.append(frame.data)

            await space["serve_track"](pool, chunks, SimpleNamespace(capture_frame=capture))
            np.testing.assert_array_equal(np.frombuffer(b"".join(captured), np.int16), want)
            assert pool.stats().encoder_slots_used == 0

    asyncio.run(main())
