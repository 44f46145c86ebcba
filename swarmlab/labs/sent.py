"""Programs of this project that run on a node with nothing but its Python: their text is the first that they read."""

from __future__ import annotations

import inspect
from types import ModuleType


def program(module: ModuleType, *arguments: str) -> tuple[list[str], bytes]:
    """Return the command that runs a module on a node, and the text that it reads before its own input.

    The text is no argument, so that lists of processes do not have it.

    Args:
        module: imports from Python's library alone; its last lines start the work.
        arguments: the program's arguments.
    """
    text = inspect.getsource(module).encode()
    read = f"""
import os
text = b""
while len(text) < {len(text)}: text += os.read(0, {len(text)} - len(text)) or os._exit(1)
exec(text)
"""
    return ["python3", "-I", "-S", "-c", read, *arguments], text
