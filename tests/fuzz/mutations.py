"""Damage to files, drawn from a random generator: to bytes as they are, and to JSON before it is written again."""

import json
import random
import struct
from collections.abc import Sequence
from typing import Any

# What a number of 5,000 digits is written as: Python itself refuses to print one.
LONG = "@long@"
INTEGERS = [-1, 0, 1, 2, 3, 7, 8, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63]
HUGE = [2**64 - 1, 2**64, 2**70, -(2**63), -(2**70)]
FLOATS = [0.5, 12.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")]
TEXTS = [
    "",
    "0",
    "1",
    "-1",
    "12.5",
    "nan",
    "1e999",
    "\u0663",
    "1_0",
    " 7 ",
    "\0",
    "\ud800",
    "x" * 300,
    "../x",
    "F32",
    "I64",
]
OTHERS = [None, True, False, [], [0], [0, 0], [2, 8], [2**63, 2**63], [[]], {}, {"x": 1}, LONG, [LONG]]
ODD_VALUES = [*INTEGERS, *HUGE, *FLOATS, *TEXTS, *OTHERS]
ODD_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1]
ODD_FLOATS = [float("nan"), float("inf"), -0.0, 1e-45, 1e-38, 3.4e38, -3.4e38, 1e20, -1e30]


def some_bytes(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to four changes: bits, numbers, pieces cut out, doubled or put in, an end cut off or another file's."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not result:
            return bytes(result)
        rng.choice(CHANGES)(rng, result, others)
    return bytes(result)


def _bit(rng: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _number(rng: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    width = rng.choice((2, 4, 8))
    value = rng.choice(ODD_NUMBERS) & (1 << 8 * width) - 1
    at = rng.randrange(len(data))
    data[at : at + width] = value.to_bytes(width, "little")


def _float(rng: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    at = rng.randrange(len(data)) & ~3
    data[at : at + 4] = struct.pack("<f", rng.choice(ODD_FLOATS))


def _cut(rng: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 1, 2, 4, 8, 64))]


def _truncate(rng: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data)) :]


def _double(rng: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.choice((1, 4, 8, 64))]


def _insert(rng: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 64)))


def _splice(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other) + 1) :]


CHANGES = (_bit, _bit, _byte, _number, _float, _cut, _truncate, _double, _insert, _splice)


def some_json(rng: random.Random, value: Any) -> Any:
    """The value with one to three of its parts replaced, left out, doubled under another name, or swapped."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _one_part(rng, value)
    return value


def _one_part(rng: random.Random, value: Any) -> Any:
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.02:
        return rng.choice(ODD_VALUES)
    changed = value.copy()
    if isinstance(changed, list):
        at = rng.randrange(len(changed))
        if rng.random() < 0.2:
            changed.insert(at, rng.choice(ODD_VALUES)) if rng.random() < 0.5 else changed.pop(at)
        else:
            changed[at] = _one_part(rng, changed[at])
        return changed
    key = rng.choice(list(changed))
    choice = rng.random()
    if choice < 0.1:
        del changed[key]
    elif choice < 0.2:
        changed[rng.choice((key + "x", "", "__metadata__", key.upper(), "x"))] = changed[key]
    elif choice < 0.3:
        other = rng.choice(list(changed))
        changed[key], changed[other] = changed[other], changed[key]
    else:
        changed[key] = _one_part(rng, changed[key])
    return changed


def json_bytes(value: Any) -> bytes:
    """JSON, also of what is none: NaN, infinities, half a surrogate pair, a number of 5,000 digits."""
    text = json.dumps(value).replace(f'"{LONG}"', "9" * 5000)
    return text.encode()
