"""The terminal, pipe or file that a command prints to: which characters it has, and that it may be gone."""

from __future__ import annotations

import codecs
import contextlib
import locale
import os
import sys
from typing import Any, TextIO


def start_in_utf8() -> None:
    """Start this program anew in Python's UTF-8 mode if its locale has another encoding, such as under LC_ALL=C.

    Files and outputs of programs are UTF-8 whatever the locale is. What is printed stays in the encoding of the
    terminal, and a character that it does not have is printed as an escape.

    Source: PEP 540.
    """
    if sys.flags.utf8_mode or sys.flags.ignore_environment or _is_utf8(locale.getpreferredencoding(False)):
        return
    printed = getattr(sys.stdout, "encoding", None) or "ascii"
    os.environ.update({"PYTHONUTF8": "1", "PYTHONIOENCODING": f"{printed}:backslashreplace"})
    with contextlib.suppress(OSError):
        os.execv(sys.executable, sys.orig_argv)


def tolerate() -> None:
    """Let characters that the terminal does not have be printed as escapes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def give_up(stream: TextIO | None) -> None:
    """Let what is printed to a stream from now on go nowhere, as its reader has closed it or its disk is full."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)
        # What is left in the buffer must not be written when pytest, which captures output, puts the old end back.
        stream.flush()  # type: ignore[union-attr]


def unwritable(stream: TextIO | None) -> OSError | None:
    """Return why what was printed to a stream cannot be written, and give the stream up; None if it can."""
    try:
        if stream:
            stream.flush()
    except OSError as failed:
        give_up(stream)
        return failed
    return None


class Patient:
    """A stream to print to that outlives its reader: what cannot be written is dropped, and the program goes on."""

    def __init__(self, stream: TextIO) -> None:
        """Print to *stream*."""
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if there still is a reader."""
        try:
            return self._stream.write(text)
        except OSError:
            give_up(self._stream)
            return len(text)

    def flush(self) -> None:
        """Flush, if there still is a reader."""
        try:
            self._stream.flush()
        except OSError:
            give_up(self._stream)


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False
