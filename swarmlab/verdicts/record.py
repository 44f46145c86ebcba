"""The record of a run: a file of JSON lines that grows as tests end, and can be read at any moment.

A run that is killed, or whose disk is full, keeps every line that it wrote.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


class Record:
    """Appends lines to a record. Each is whole on the disk before `add` returns, or not there at all."""

    def __init__(self, file: Path) -> None:
        """Begin a record.

        Raises:
            OSError: The file cannot be written.
        """
        self._file = file
        file.touch()

    def add(self, kind: str, **fields: Any) -> None:
        """Append a line.

        Args:
            kind: What the line is about (see `swarmlab.verdicts.gathered`).
            fields: What it says.

        Raises:
            OSError: The file cannot be written; it then ends with the line before.
        """
        self.extend([{"record": kind, **fields}])

    def extend(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Append several lines, all of them or none.

        Args:
            entries: What they say.

        Raises:
            OSError: The file cannot be written; it then ends with the line before.
        """
        line = b"".join(json.dumps(entry, ensure_ascii=False, default=str).encode() + b"\n" for entry in entries)
        with self._file.open("ab", buffering=0) as out:
            before = out.seek(0, os.SEEK_END)
            try:
                written = out.write(line)
                while written < len(line):  # a disk that fills up takes a part
                    written += out.write(line[written:])
                os.fsync(out.fileno())
            except OSError as failed:
                out.truncate(before)
                raise OSError(failed.errno, failed.strerror, str(self._file)) from None


def read(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a record, without a last line that is torn.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is not JSON.
    """
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            yield json.loads(line)
