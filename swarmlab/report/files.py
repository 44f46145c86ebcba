"""The evidence of a claim as the report shows it: shortened, with links to the files that have all of it."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from swarmlab.evidence import window
from swarmlab.report.condense import asked, condense, last
from swarmlab.report.pages import link, svg_uri
from swarmlab.verdicts import manifest
from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict

#: Most characters of evidence in the report itself: in all, and for one claim of one run that passed or did not.
_MOST_EVIDENCE = 4_500_000
_OF_PASS, _OF_OTHERS = 8_000, 40_000
#: Characters of evidence that stand on paper, and beside what needs attention.
_EXCERPT = 1_600
_MOST_PICTURE = 400_000


@dataclass
class File:
    """An evidence file as the report shows it.

    Attributes:
        name: Its file name.
        link: Its path, relative to the report.
        digest: The first characters of its SHA-256; empty if the file is gone.
        asked: The number of commands and calls in it, by node.
        text: Its essential part, as HTML.
        excerpt: What it ends with before the failure, as HTML; empty where the claim passed.
        picture: A data: URI, if it is a picture.
        caption: What the picture shows.
    """

    name: str
    link: str
    digest: str = ""
    asked: str = ""
    text: str = ""
    excerpt: str = ""
    picture: str = ""
    caption: str = ""

    @property
    def gone(self) -> bool:
        """Whether it is not there any more."""
        return not self.digest


class Allowance:
    """How many characters of evidence each claim may show: more where it did not pass, all together below a bound."""

    def __init__(self, runs: Sequence[Run]) -> None:
        judged = [claim for run in runs for claim in run.claims.values()]
        passed = sum(claim.verdict is Verdict.PASS for claim in judged)
        others = len(judged) - passed
        self._others = min(_OF_OTHERS, int(_MOST_EVIDENCE * 0.7 / max(others, 1)))
        self._passed = min(_OF_PASS, int((_MOST_EVIDENCE - self._others * others) / max(passed, 1)))

    def of(self, claim: Judged) -> int:
        """Return the characters of one claim."""
        return self._passed if claim.verdict is Verdict.PASS else self._others


def files_of(run: Run, judged: Judged, allowance: int, beside: Path) -> list[File]:
    """Return the evidence of a claim.

    Args:
        run: The run.
        judged: The claim in it.
        allowance: Most characters of all its files together.
        beside: Folder of the report, to which links are relative.
    """
    files = []
    texts = [name for name in judged.evidence if not name.endswith(".svg")]
    for name in judged.evidence:
        file = File(Path(name).name, link(run.folder / name, beside))
        files.append(file)
        content = run.read(name)
        if content is None:
            continue
        file.digest = manifest.of_content(content)[:16]
        if name.endswith(".svg"):
            _picture(file, content)
        else:
            text = content.decode("utf-8", errors="replace")
            file.asked = ", ".join(f"{name} ({number})" for name, number in asked(text).items())
            answer = 400 if judged.verdict is Verdict.PASS else 2000
            file.text = _shown(condense(text, allowance // len(texts), answer=answer, when=window(text)))
            if judged.verdict.bad and name == texts[0]:  # the others passed, or say the same
                file.excerpt = _shown(last(text, _EXCERPT, when=window(text)))
    return files


def _shown(text: str) -> str:
    # Quotes need no escaping between tags, and evidence is full of them.
    return Markup(html.escape(text, quote=False))


def _picture(file: File, content: bytes) -> None:
    text = content.decode("utf-8", errors="replace")
    found = [match[1] for tag in ("title", "desc") if (match := re.search(rf"<{tag}\b[^>]*>([^<]*)</{tag}>", text))]
    file.caption = html.unescape(". ".join(" ".join(part.split()) for part in found if part.strip())) or file.name
    if len(content) <= _MOST_PICTURE:
        file.picture = svg_uri(content)
