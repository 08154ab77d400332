"""Text for error messages, which may quote what a file holds: it stays short."""

from __future__ import annotations

LONGEST = 200


def shown(value: object, longest: int = LONGEST) -> str:
    """`repr(value)` in at most `longest` characters."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python turns into text
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    return shortened(text, longest)


def shortened(text: str, longest: int = LONGEST) -> str:
    """`text` in at most `longest` characters: what is too long loses its middle."""
    if len(text) <= longest:
        return text
    half = (longest - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"
