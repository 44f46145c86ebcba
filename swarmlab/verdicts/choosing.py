"""The choice of claims by words: an id, a section, a chapter, an area, a part, a level, or a glob of ids."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.nearest import nearest
from swarmlab.paths import command
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.catalogue import LEVELS, Catalogue, Claim
from swarmlab.verdicts.parts import PARTS

#: What a word may be, for help and messages.
KINDS = (
    "an id (7.2.4/rm), a section (7.2), a chapter (7), an area (configs), a part (swarm), a level (critical), a glob"
)
_GLOB = re.compile(r"[*?\[]")


def split_claims(given: Iterable[str]) -> list[str]:
    """Return the words that choose claims, of the values of an option, each of which may have several by comma.

    Raises:
        UsageError: One of them is empty.

    Example:
        >>> split_claims(["7.2.4/rm,configs", "critical"])
        ['7.2.4/rm', 'configs', 'critical']
    """
    words = []
    for text in given:
        for word in text.split(","):
            if not word.strip():
                raise UsageError(f"{shown(text, 60) or 'a value'}: has an empty part; write claims, or leave it out")
            words.append(word.strip())
    return list(dict.fromkeys(words))


def matching(word: str, claims: Catalogue) -> list[Claim]:
    """Return the claims that a word means; none if it means none.

    A section holds its subsections: 7.2 means the claims of 7.2.1 too; `7.2/*` means its own alone.
    """
    return [claim for claim in claims.values() if _means(word, claim)]


def chosen(words: Iterable[str], claims: Catalogue, parts: Collection[str]) -> list[Claim]:
    """Return the claims that words choose, in the order of the catalogue.

    A word whose claims are all of one part chooses them, whatever the parts are. Of a word that means claims of
    several parts, such as a level, those of *parts* are chosen.

    Args:
        words: Words as of `split_claims`.
        claims: The whole catalogue.
        parts: The parts that a run judges unless a word names another.

    Raises:
        UsageError: A word means no claim; the message names the nearest word.
    """
    ids = set()
    for word in words:
        found = matching(word, claims)
        if not found:
            raise UsageError(unknown(word, claims))
        if len({claim.part for claim in found}) > 1:
            beside = {claim.part for claim in found}
            found = [claim for claim in found if claim.part in parts]
            if not found:
                others = ", ".join(part for part in PARTS if part in beside)
                raise UsageError(f"{shown(word, 60)} means claims of {others}, and the run judges {', '.join(parts)}")
        ids |= {claim.id for claim in found}
    return [claim for claim in claims.values() if claim.id in ids]


def unknown(word: str, claims: Catalogue) -> str:
    """Return what to say of a word that means no claim of the catalogue: why, or the nearest word."""
    if unjudged := catalogue.not_judged(word):
        return f"no test judges {word}: {unjudged.why_not}"
    if matching(word, catalogue.rehearsal()):
        how = command("swarmlab", "rehearse", "--to", "ENGINE")
        return f"{word} is judged by a rehearsal of an upgrade, and by no other run: {how}"
    about = f"no claim, section, area, part or level {shown(repr(word), 60)} in the catalogue"
    if _GLOB.search(word):
        about = f"no claim of the catalogue matches {shown(repr(word), 60)}"
    plain, known = _GLOB.sub("", word).lower(), names(claims)
    # Whoever leaves out the section of an id has the rest of it right.
    ends = (id for id in claims if id.partition("/")[2] == plain)
    near = plain if plain in known else next(ends, "") or nearest(plain, known)
    return f"{about}; did you mean {near}?" if near else f"{about} (pytest --claims lists all claims)"


def names(claims: Catalogue) -> list[str]:
    """Return every word that is no glob: parts, levels, chapters, sections, areas and ids."""
    each = [word for claim in claims.values() for word in (*_sections(claim), claim.part)]
    return list(dict.fromkeys([*each, *LEVELS, *claims]))


def completions(prefix: str = "", **_: Any) -> list[str]:
    """Return the words that begin as an argument that somebody types, as argcomplete asks for them.

    Args:
        prefix: What is typed so far; of words by comma the last is completed.
    """
    try:
        return after_comma(prefix, names(catalogue.load()))
    except UsageError:  # the catalogue cannot be read, which the command itself tells
        return []


def after_comma(prefix: str, known: Iterable[str]) -> list[str]:
    """Return the completions of the last of several words by comma, each with the words before it.

    Example:
        >>> after_comma("configs,sec", ["configs", "secrets"])
        ['configs,secrets']
    """
    before, comma, last = prefix.rpartition(",")
    return [before + comma + word for word in known if word.startswith(last)]


def _sections(claim: Claim) -> Iterator[str]:
    """Yield the section of a claim, and all that hold it: 7.2.1, 7.2, 7."""
    section = claim.section
    while section:
        yield section
        section = section.rpartition(".")[0]


def _means(word: str, claim: Claim) -> bool:
    if word in LEVELS:
        return claim.level == word
    if word in PARTS:
        return claim.part == word
    if _GLOB.search(word):
        return fnmatch.fnmatchcase(claim.id, word)
    return word == claim.id or word in _sections(claim)
