"""Layouts of the JSON files that this project writes: JSON schemas beside the code, each with a version.

Keys may be added within a version, and the meaning of a key never changes. A file of an older version is read as it is;
one of a newer version is refused.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from swarmlab.errors import UsageError
from swarmlab.files import shown

#: The key of a file that has the version of its layout. Files from before there were versions lack it.
KEY = "schema"


@functools.cache
def layout(file: Path) -> dict[str, Any]:
    """Return the JSON schema in a file."""
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def refuse_newer(raw: object, about: object, newest: int) -> None:
    """Refuse the content of a file that a newer release wrote.

    Args:
        raw: The content.
        about: The file, for the message.
        newest: The newest version that is read.

    Raises:
        UsageError: It is of a newer version.
    """
    version = raw.get(KEY) if isinstance(raw, Mapping) else None
    if isinstance(version, int) and version > newest:
        raise UsageError(f"{about} has schema {version}; this release reads {newest}; install a newer one")


def mistake(raw: object, schema: Mapping[str, Any]) -> str:
    """Return what is wrong in the content of a file, and where, in a line; empty if nothing is.

    Args:
        raw: The content.
        schema: Its JSON schema.
    """
    wrong = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(raw))
    if wrong is None:
        return ""
    place = "/".join(map(str, wrong.absolute_path))
    return f"{place}: {shown(wrong.message, 120)}" if place else shown(wrong.message, 120)
