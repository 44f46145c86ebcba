"""Files that users name: read with bounds, and every failure is one line that names the file and the place in it."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import stat
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from swarmlab.errors import UsageError

#: Most bytes of a file that a user writes. The largest in the checkout, claims/guides.yaml, has 130 KB: half as much.
MOST_BYTES = 2**18
#: Most values in a YAML file once its aliases are followed, and how deep they may lie in each other.
_MOST_VALUES, _DEEPEST = 50_000, 50
#: From which on a number with a point or an exponent in JSON is a mistake: no duration and no share is as large.
_LARGEST = 1e12
#: Most characters of a message that come from a file or an option.
_SHOWN = 200
#: Seconds to wait for the first bytes of a pipe.
_PATIENCE = 10.0

# The C parser is ten times as fast, and is in every wheel of PyYAML.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def shown(text: object, most: int = _SHOWN) -> str:
    """Return *text* for a message: in one line, without control characters, and cut in its middle if it is long."""
    line = " ".join(str(text).split())
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    return line if len(line) <= most else f"{line[: most * 2 // 3]}…{line[-most // 3 :]}"


def is_text(argument: str) -> bool:
    """Whether an argument of the command line is text: bytes that are not UTF-8 cannot be written to any result."""
    return not re.search("[\ud800-\udfff]", argument)


def named(path: str | Path, what: str = "") -> Path:
    """Return the path that a user wrote, with ``~`` and ``~USER`` followed.

    Args:
        path: the path as it was written.
        what: the thing that it names, put before it in a message.

    Raises:
        UsageError: it is empty, has a character that no path has, or names the home of no user.
    """
    about = f"{what} {shown(path)}".strip()
    if not str(path):
        raise UsageError(f"{what or 'a path'}: is empty; name a file")
    if "\0" in str(path):
        raise UsageError(f"{about}: no path has a NUL character in it")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{about}: there is no such user, or it has no home; write the whole path") from None


def exists(path: Path) -> bool:
    """Whether there is such a file or folder, as far as this user can see; a name that cannot be one is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def kind_of(path: Path, about: str = "") -> str:
    """Return what is at a path that a user named: "folder", "file" for anything else, or "" for nothing.

    Args:
        path: the path.
        about: what the message says before the reason; by default the path.

    Raises:
        UsageError: that cannot be told, as the folder around it may not be entered, or the name is too long.
    """
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as failed:
        raise UsageError(f"{about or shown(path)}: cannot be read: {reason(failed)}") from None


def read_text(path: str | Path, what: str = "", *, most: int = MOST_BYTES) -> str:
    """Return the text of a file that a user named.

    Args:
        path: the file; a pipe will do, as of ``<(COMMAND)``.
        what: the thing that it holds, for messages.
        most: the number of bytes from which on it is refused.

    Raises:
        UsageError: it cannot be read, is too large, or is not UTF-8.
    """
    file = named(path, what)
    about = f"{what} {shown(path)}".strip()
    try:
        content = _read(file, most)
    except (OSError, ValueError) as failed:
        raise UsageError(f"{about}: cannot be read: {reason(failed)}") from None
    if len(content) > most:
        raise UsageError(f"{about}: has more than {most // 1024} KiB; is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = content[: wrong.start].count(b"\n") + 1
        raise UsageError(f"{about}, line {line}: is not text in UTF-8; save it as UTF-8") from None


def reason(failed: BaseException) -> str:
    """Return why a call of the system failed, without the name of the file."""
    return getattr(failed, "strerror", None) or shown(failed) or type(failed).__name__


def _read(file: Path, most: int) -> bytes:
    # Without O_NONBLOCK the opening of a pipe that nobody writes to never ends.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as opened:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if stat.S_ISREG(mode):
            return opened.read(most + 1)
        content = bytearray()
        while len(content) <= most:
            if not select.select([opened], [], [], _PATIENCE)[0]:
                raise OSError(errno.ETIMEDOUT, f"nothing was written to it for {_PATIENCE:.0f} s")
            if not (block := opened.read(2**16)):
                break
            content += block
        return bytes(content)


def read_json(path: str | Path, what: str = "", *, most: int = MOST_BYTES) -> Any:
    """Return the content of a file of JSON that a user named.

    Args:
        path: see `read_text`.
        what: see `read_text`.
        most: see `read_text`.

    Raises:
        UsageError: it cannot be read, or is not JSON as `parse_json` takes it.
    """
    return parse_json(read_text(path, what, most=most), f"{what} {shown(path)}".strip())


def parse_json(text: str, source: str) -> Any:
    """Return the content of a JSON document.

    A key that stands twice in one object is refused, of which JSON would drop the first. So are numbers and characters
    that there are not: NaN, numbers of hundreds of digits, and halves of a character.

    Args:
        text: the document.
        source: the name of its file, for messages.

    Raises:
        UsageError: it is not such a document.
    """
    try:
        content = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_number)
        if re.search(r"\\u[dD][89a-fA-F]", text):  # a whole character has two of these
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise UsageError(f"{source}: is not JSON: values lie too deep") from None
    except UnicodeEncodeError as wrong:
        half = ascii(wrong.object[wrong.start])[1:-1]
        raise UsageError(f"{source}: is not JSON: {half} is half of a character") from None
    except ValueError as broken:
        raise UsageError(f"{source}: is not JSON: {shown(broken)}") from None
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice, 60)!r} stands twice in one object")
    return made


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _number(text: str) -> float:
    number = float(text)
    if not abs(number) < _LARGEST:
        raise ValueError(f"{shown(text, 40)} is too large a number")
    return number


def read_yaml(path: str | Path, what: str = "") -> Any:
    """Return the content of a YAML file that a user named.

    Args:
        path: see `read_text`.
        what: see `read_text`.

    Raises:
        UsageError: it cannot be read, or is not YAML within the bounds of `parse_yaml`.
    """
    return parse_yaml(read_text(path, what), f"{what} {shown(path)}".strip())


def parse_yaml(text: str, source: str) -> Any:
    """Return the content of a YAML document.

    A key that stands twice in one mapping is refused, of which YAML would drop the first. So are documents that are
    much larger once their aliases are followed. A date that is in no calendar stays text.

    Args:
        text: the document.
        source: the name of its file, for messages.

    Raises:
        UsageError: it is not such a document; the message has file, line and column.
    """
    return YamlFile(text, source).content


class YamlFile:
    """A YAML document, and the place of each of its values.

    Attributes:
        content: its content, as of `yaml.safe_load`; None if it is empty.
    """

    def __init__(self, text: str, source: str) -> None:
        """Parse a document; see `parse_yaml`."""
        self._source = source
        try:
            _check_depth(text, source)
            loader = _loader()(text)
            try:
                self._root: yaml.Node | None = loader.get_single_node()
                _check(self._root, loader, source)
                self.content: Any = loader.construct_document(self._root) if self._root else None
            finally:
                loader.dispose()
        except yaml.YAMLError as broken:
            raise UsageError(_broken(broken, text, source)) from None

    def place(self, *path: str | int) -> str:
        """Return file, line and column of the value at *path*; the nearest value around it if there is none.

        Args:
            path: keys of mappings and places in lists, from the outermost on.
        """
        node = self._root
        for step in path:
            node = next((value for key, value in _children(node) if key == step), None) or node
        return _at(self._source, node.start_mark) if node else self._source

    def place_of_key(self, *path: str | int) -> str:
        """Return file, line and column of the key that the last of *path* is, where `place` is that of its value."""
        node = self._root
        for step in path[:-1]:
            node = next((value for key, value in _children(node) if key == step), None) or node
        if isinstance(node, yaml.MappingNode):
            for key, _ in node.value:
                if key.value == path[-1]:
                    return _at(self._source, key.start_mark)
        return self.place(*path)


def _loader() -> Any:
    class Loader(_Parser):  # type: ignore[misc]
        """The safe loader, which says of each wrong value where it is, and leaves dates that there are not as text."""

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep=deep)
            except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError, IndexError) as wrong:
                # A value that its tag does not fit, such as !!int x.
                raise yaml.constructor.ConstructorError(None, None, reason(wrong), node.start_mark) from None

        def construct_date(self, node: yaml.Node) -> Any:
            try:
                return self.construct_yaml_timestamp(node)
            except ValueError:  # such as 2026-13-31
                return self.construct_scalar(node)

    Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.construct_date)
    return Loader


def _children(node: yaml.Node | None) -> Iterator[tuple[Any, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        yield from enumerate(node.value)
    elif isinstance(node, yaml.MappingNode):
        yield from ((key.value, value) for key, value in node.value)


def _check_depth(text: str, source: str) -> None:
    """Refuse a document whose values lie too deep for the parser, which calls itself for each level."""
    depth = 0
    for event in yaml.parse(text, Loader=_Parser):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise UsageError(f"{_at(source, event.start_mark)}: values lie more than {_DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check(root: yaml.Node | None, loader: Any, source: str) -> None:
    """Refuse keys that stand twice, and a document that is too large once its aliases are followed."""
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in above:
            raise UsageError(f"{_at(source, node.start_mark)}: the value contains itself by an alias")
        if id(node) not in sizes:
            above.add(id(node))
            if isinstance(node, yaml.MappingNode):
                _check_keys(node, loader, source)
            sizes[id(node)] = 1 + sum(1 + size(value) for _, value in _children(node))
            above.remove(id(node))
        if sizes[id(node)] > _MOST_VALUES:
            raise UsageError(f"{_at(source, node.start_mark)}: holds more than {_MOST_VALUES} values, aliases followed")
        return sizes[id(node)]

    if root is not None:
        size(root)


def _check_keys(mapping: yaml.MappingNode, loader: Any, source: str) -> None:
    lines: dict[Hashable, int] = {}
    for key, _ in mapping.value:
        at = _at(source, key.start_mark)
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"{at}: a key has to be a plain word")
        name = (key.tag, key.value) if key.tag.endswith(":merge") else loader.construct_object(key)
        if name in lines:
            raise UsageError(f"{at}: the key {shown(key.value, 60)!r} stands in line {lines[name]} already; keep one")
        lines[name] = key.start_mark.line + 1


def _at(source: str, mark: Any) -> str:
    return f"{source}, line {mark.line + 1}, column {mark.column + 1}"


def _broken(broken: yaml.YAMLError, text: str, source: str) -> str:
    """Return what YAML says about a document, in one line."""
    mark = getattr(broken, "problem_mark", None) or getattr(broken, "context_mark", None)
    position = getattr(broken, "position", None)
    if mark is not None:
        source = _at(source, mark)
    elif position is not None:  # a character that YAML does not have
        before = text[:position]
        source = f"{source}, line {before.count(chr(10)) + 1}, column {position - before.rfind(chr(10))}"
    said = [getattr(broken, "context", None), getattr(broken, "problem", None) or getattr(broken, "reason", None)]
    return f"{source}: is not YAML: {shown(', '.join(filter(None, said)) or broken)}"
