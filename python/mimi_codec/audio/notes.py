"""What is noticed while a sound file is read."""

from __future__ import annotations

from contextlib import ExitStack


class Notes:
    """The format, what was done beyond plain reading, and what the caller should know, each said once.

    `decoders` closes what was opened on the way: left to the end of the process, a decoder may call what is gone.
    """

    def __init__(self) -> None:
        self.format = ""
        self.decoders = ExitStack()
        self.done: list[str] = []
        self.warnings: list[str] = []

    def did(self, text: str) -> None:
        """Something was done that changes no sound."""
        if text not in self.done:
            self.done.append(text)

    def warn(self, text: str) -> None:
        """Sound is missing, or may be."""
        if text not in self.warnings:
            self.warnings.append(text)


def share(there: int, said: int, rate: int) -> str:
    """How much of a sound is there, in samples and seconds."""
    return f"{there / rate:.2f} s of {said / rate:.2f} s ({there} of {said} samples)"
