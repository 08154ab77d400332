"""Many conversations at once in asyncio, batched over one stream: `SessionPool`.

async with SessionPool(mimi, slots=32, num_codebooks=8) as pool, pool.encoder() as session:
    codes = await session.push(pcm)  # what encode would give, frame by frame
"""

from .pool import SessionPool
from .sessions import DecoderSession, DuplexSession, EncoderSession
from .stats import PoolStats

__all__ = ["DecoderSession", "DuplexSession", "EncoderSession", "PoolStats", "SessionPool"]
