"""What a process in a container prints, as an engine sends it: standard output and standard error in one stream.

Source: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import struct
from typing import Any

#: What stands before each piece: the number of its stream, and its length.
_HEAD = struct.Struct(">BxxxI")


class Streams:
    """Takes a stream apart, as it arrives.

    Attributes:
        out: what came from standard output.
        err: what came from standard error.
        rest: what came since the last whole piece. At the end of the stream it is what an engine says in place of one.
    """

    def __init__(self) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self.rest = b""

    def add(self, block: bytes) -> None:
        """Take what arrived next."""
        self.rest += block
        while len(self.rest) >= _HEAD.size:
            stream, length = _HEAD.unpack_from(self.rest)
            end = _HEAD.size + length
            if len(self.rest) < end:
                return
            (self.err if stream == 2 else self.out).extend(self.rest[_HEAD.size : end])
            self.rest = self.rest[end:]


def hang_up(stream: Any) -> None:
    """Close a stream that docker-py returned for a socket, and the response that it is part of.

    The response goes first: from Python 3.13 on, it complains when it is collected after its stream was closed.
    """
    if response := getattr(stream, "_response", None):
        response.close()
    stream.close()
