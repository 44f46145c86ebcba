"""Files that users name: read with bounds, and refused with one line that has file, line and column."""

import os
import threading
import time

import pytest

from swarmlab import files
from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, parse_yaml, read_text, read_yaml, shown
from swarmlab.paths import ROOT
from swarmlab.versions import can_match

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' stands in line 1 already"),
        ("- {x: 1, y: {k: 1, k: 2}}", "line 1, column 20: the key 'k' stands in line 1 already"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", "line 2, column 13: the key '<<' stands in line 2 already"),
        ("{a: 1, 'a': 2}", "the key 'a' stands in line 1 already"),
        (BOMB, "holds more than 50000 values, aliases followed"),
        ("&a [*a]", "line 1, column 1: the value contains itself"),
        ("[" * 100_000, "line 1, column 51: values lie more than 50 levels deep"),
        ("? [a, b]\n: c", "line 1, column 3: a key has to be a plain word"),
        ("a: [1,\nb", "is not YAML: while parsing a flow sequence"),
        ("a: b: c", "line 1, column 5: is not YAML: mapping values are not allowed"),
        ("a:\n  - b\n  bad: \x07", "line 3, column 8: is not YAML: control characters"),
        ("x: !!int foo", "line 1, column 4: is not YAML: invalid literal for int"),
        ("x: !!bool foo", "line 1, column 4: is not YAML: "),
        (f"x: {'9' * 6000}", "line 1, column 4: is not YAML: Exceeds the limit"),
        ("x: !!python/object:os.system a", "line 1, column 4: is not YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2", "line 2, column 1: is not YAML: expected a single document"),
        ("x: *nope", "line 1, column 4: is not YAML: found undefined alias"),
        (f"x: !!int {'y' * 200_000}", "line 1, column 4: is not YAML"),
    ],
)
def test_yaml_that_is_refused(text, complaint):
    begun = time.monotonic()
    with pytest.raises(UsageError) as wrong:
        parse_yaml(text, "f.yaml")
    assert complaint in str(wrong.value)
    assert str(wrong.value).startswith("f.yaml, line ")
    assert "\n" not in str(wrong.value)
    assert len(str(wrong.value)) < 400
    assert time.monotonic() - begun < 5


def test_yaml_that_is_taken():
    assert parse_yaml("", "f") is None
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, x: 2}", "f") == {"a": {"x": 1}, "b": {"x": 2}}
    assert parse_yaml("expires: 2026-13-31", "f") == {"expires": "2026-13-31"}
    found = YamlFile("- a\n- b: 1\n  c: [2,\n      3]\n", "f")
    assert found.place(1, "c", 1) == "f, line 4, column 7"
    assert found.place(1, "none") == "f, line 2, column 3"
    assert found.place_of_key(1, "c") == "f, line 3, column 3"


def test_without_the_parser_in_c_it_is_the_same(monkeypatch):
    monkeypatch.setattr(files, "_Parser", files.yaml.SafeLoader)
    assert parse_yaml("a: [1, 2026-13-31]", "f") == {"a": [1, "2026-13-31"]}
    with pytest.raises(UsageError, match="line 2, column 1: the key 'a' stands in line 1"):
        parse_yaml("a: 1\na: 2\n", "f")
    with pytest.raises(UsageError, match="50 levels deep"):
        parse_yaml("[" * 10_000, "f")


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    large = tmp_path / "large"
    large.write_bytes(b"x" * (files.MOST_BYTES + 1))
    binary = tmp_path / "binary"
    binary.write_bytes(b"a\nb\xff\n")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    for path, complaint in (
        (tmp_path / "none", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (loop, "cannot be read: Too many levels"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("a\0b", "no path has a NUL character"),
        ("", "is empty; name a file"),
        ("~nouser/x", "there is no such user"),
        (large, "has more than 256 KiB"),
        ("/dev/zero", "has more than 256 KiB|cannot be read"),
        (binary, "line 2: is not text in UTF-8"),
    ):
        with pytest.raises(UsageError, match=complaint) as wrong:
            read_yaml(path, "waivers")
        assert "\n" not in str(wrong.value)
        assert len(str(wrong.value)) < 400
    with pytest.raises(UsageError, match="nothing was written to it"):
        read_text(pipe)


def test_a_pipe_is_read_to_its_end(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("a: 1\n"))
    writer.start()
    assert read_yaml(pipe) == {"a": 1}
    writer.join()


def test_text_of_others_is_shown_in_one_short_line():
    assert shown("a\nb\x1b[31m\tc") == "a b\\x1b[31m c"
    assert len(shown("x" * 10_000)) < 210
    assert shown("\udcff") == "\\udcff"


@pytest.mark.parametrize("file", sorted([*ROOT.glob("claims/*.yaml"), *ROOT.glob("images/*.yaml")]), ids=str)
def test_the_project_s_own_files_are_within_the_bounds(file):
    assert read_yaml(file)


@pytest.mark.parametrize(
    "pattern", ["20.10.*", "*", "18.03.1-ce", "2?.*", "[12]*.*", "20.10.24+dfsg*", "20.10", "*-ce", "*.5.*"]
)
def test_patterns_that_a_version_can_match(pattern):
    assert can_match(pattern)


@pytest.mark.parametrize(
    "pattern", ["bookworm", "v20.10.*", "20,10.*", "20", "[!0-9]*", "20..1", "20.10.* ", "*ü*", "[", "docker*", "a*b"]
)
def test_patterns_that_no_version_matches(pattern):
    assert not can_match(pattern)
