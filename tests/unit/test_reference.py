"""The reference lab is the document's: every line of its chapters 1.1 to 1.3 is done, or it is told why not."""

import functools
import re

import pytest
import yaml

from swarmlab.labs.hosts import DOCUMENT
from swarmlab.paths import CLAIMS, ROOT
from swarmlab.verdicts.catalogue import load

REFERENCE = yaml.safe_load((CLAIMS / "reference.yaml").read_text(encoding="utf-8"))
SCRIPT, VAGRANTFILE = "provision/centos7.sh", "Vagrantfile"
#: What a word of a command is in a line that is for people otherwise.
WORDS = re.compile(r"(?<![\w/.-])[a-z][a-z-]+ [-~./\w]+", re.ASCII)


def chapters():
    """Return the lines of chapters 1.1 to 1.3 of the document."""
    lines = (CLAIMS / "document.txt").read_text(encoding="utf-8").splitlines()
    first = lines.index("1.1 各虚拟机信息")
    return lines[first : next(place for place, line in enumerate(lines) if line.startswith("2. "))]


def steps():
    """Return what the lab does for each command of the document, in the document's order."""
    found = []
    for entry in REFERENCE["document"]:
        if isinstance(entry, dict):
            found += entry.get("steps") or [{**entry, "command": entry["line"].split(" #")[0]}]
    return found


@functools.cache
def lines(file):
    """Return the lines of a file without comments and without what aligns them, and continued lines as one."""
    text = re.sub(r"\\\n\s*", "", (ROOT / file).read_text(encoding="utf-8"))
    plain = [re.sub(r"\s+=>", " =>", line).strip() for line in text.splitlines()]
    return [line for line in plain if line and not line.startswith("#")]


def virtualbox():
    """Return the lines of the Vagrantfile's VirtualBox part."""
    found = lines(VAGRANTFILE)
    first = next(place for place, line in enumerate(found) if line.startswith('node.vm.provider "virtualbox"'))
    return found[first : found.index("end", first) + 1]


def test_every_line_of_the_document_is_accounted_for():
    told = [entry["line"] if isinstance(entry, dict) else entry for entry in REFERENCE["document"]]
    assert told == chapters()


@pytest.mark.parametrize("step", steps(), ids=lambda step: step["command"])
def test_a_command_of_the_document_is_done_or_it_is_told_why_not(step):
    assert {"as", "claim", "why"} & set(step), "nothing says what became of it"
    assert ("as" in step) == ("in" in step)
    if "as" in step:
        assert step["as"] in lines(step["in"])
    if "claim" in step:
        assert step["claim"] in load()


@pytest.mark.parametrize("entry", [entry for entry in REFERENCE["document"] if "steps" in entry])
def test_no_command_of_a_line_with_several_is_forgotten(entry):
    rest = entry["line"]
    for step in sorted(entry["steps"], key=lambda step: -len(step["command"])):
        assert step["command"] in rest
        rest = rest.replace(step["command"], "|")
    assert not WORDS.findall(rest)


def test_what_is_text_alone_holds_no_command():
    text = [entry for entry in REFERENCE["document"] if isinstance(entry, str)]
    programs = {step["command"].removeprefix("sudo ").split()[0] for step in steps()} - {"docker"}
    words = {line: set(WORDS.findall(line)) for line in text}
    assert [line for line, found in words.items() if {word.split()[0] for word in found} & programs] == []


@pytest.mark.parametrize(("file", "part"), [(SCRIPT, lines(SCRIPT)), (VAGRANTFILE, virtualbox())])
def test_every_line_of_the_lab_is_the_documents_or_it_is_told_why_it_is_there(file, part):
    document = {step["as"] for step in steps() if step.get("in") == file}
    beside = [entry["line"] for entry in REFERENCE["beside"][file]]
    assert all(entry["why"] for entry in REFERENCE["beside"][file])
    assert set(part) - document == set(beside), "a line is not explained, or an explained one is gone"


def test_the_script_keeps_the_documents_order():
    done = [step["as"] for step in steps() if step.get("in") == SCRIPT and "hadoop" not in step["as"]]
    places = [lines(SCRIPT).index(line) for line in done]
    assert places == sorted(places)


def test_the_machines_are_those_of_the_documents_table():
    rows = [line.split(" | ") for line in chapters() if line.startswith("myCent_")]
    table = [
        f'"{name.rstrip(" |")}" => {{ vm: "{vm}", octet: {address.rpartition(".")[2]}, disk: {disk.rstrip("G")} }},'
        for vm, disk, address, name in rows
    ]
    assert [line for line in lines(VAGRANTFILE) if "vm:" in line][: len(table)] == table
    assert {name.rstrip(" |"): int(address.rpartition(".")[2]) for _, _, address, name in rows} == DOCUMENT
