"""The report in a real browser: light and dark, on a phone's width, without scripts and on paper; axe finds nothing.

It needs Debian's chromium and two packages of npm, which the Python environment has not: `make browser` installs them.
"""

import json
import shutil
import subprocess

import pytest

from swarmlab.paths import ROOT
from swarmlab.report import html
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.results import load
from swarmlab.watching.timeline import Mark, Request, draw
from tests.unit.helpers import WORDS

LOOK = ROOT / "tools" / "browser" / "look"
MISSING = [program for program in ("node", "chromium") if not shutil.which(program)]
if not (LOOK.parent / "node_modules" / ".ready").exists():
    MISSING.append("packages of tools/browser")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no {', no '.join(MISSING)} here; run: make browser")

#: Claims that together have every verdict, and one with an erratum.
IDS = [*list(catalogue.load())[:17], next(id for id, claim in catalogue.load().items() if claim.erratum)]
VERDICTS = {id: WORDS[number % 6] for number, id in enumerate(IDS)}


def looked_at(file):
    ran = subprocess.run([LOOK, file], capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


@pytest.fixture
def whole(run):
    """Return the folder of a run with every verdict, a waiver, a lost worker, a long word and a picture."""
    waiver = {"owner": "ops", "expires": "2030-01-01", "justification": "known", "outcome": "fail, waived"}
    waiver["claim"] = next(id for id, verdict in VERDICTS.items() if verdict == "waived")
    long = "test: fail\n\n" + "".join(f"+{n}.00 s  master  cat\n    {'x' * 900}\n\n" for n in range(30))
    folder = run(VERDICTS, evidence=long, waivers=[waiver], lost_workers={"gw0": "Not properly terminated"})
    requests = [Request(n, n + 0.5, f"slave0{n % 2}", f"replica-{n % 3}", "refused" * (n == 7)) for n in range(20)]
    svg = draw("Requests to port 8888", "of 20 one was lost", ["slave00", "slave01"], requests, [Mark(5, "drained")])
    (folder / "evidence" / "requests.svg").write_text(svg)
    raw = json.loads((folder / "verdicts.json").read_text())
    raw["claims"][0]["evidence"].append("evidence/requests.svg")
    raw["claims"][1]["reason"] = "nobody-breaks-this-word-" * 30
    (folder / "verdicts.json").write_text(json.dumps(raw))
    return folder


@pytest.mark.parametrize("several", [False, True], ids=["one run", "two runs"])
def test_the_report_reads_well_everywhere(whole, run, several):
    runs = [load(whole)]
    if several:
        runs.append(load(run(dict.fromkeys(IDS, "pass"), name="other", engine="28.5.2")))
    html.write(runs, whole / "report.html")
    found = looked_at(whole / "report.html")
    grounds = set()
    for view in found["views"]:
        assert view["violations"] == [], (view["scheme"], view["width"])
        assert view["overflow"] <= 0, (view["scheme"], view["width"])
        assert (view["pictures"], view["unseen"]) == (1, [])
        grounds.add((view["scheme"], view["ground"]))
        assert view["navigation"] == 1 or view["width"] > 400, "on a phone the navigation is one line"
    assert len(grounds) == 2
    assert set(found["requests"]) == {(whole / "report.html").as_uri()}
    assert found["errors"] == []
    assert found["without_scripts"] == len(IDS)
    if not several:
        for word in WORDS[:6]:
            count = list(VERDICTS.values()).count(word)
            assert found["filter"][word] == [count, f"{count} of {len(IDS)} claims"]
    assert found["filter"]["search"] == [0, f"0 of {len(IDS)} claims"]
    blocks, buttons = found["commands"]
    assert blocks == buttons > 0
    assert found["copied"][1], found["copied"]
    assert found["paper"]["evidence"] > 0
    assert found["paper"]["visible"] == found["paper"]["evidence"]


@pytest.mark.parametrize(
    ("ids", "bad", "most"),
    [(IDS[:5], 5, 8), (list(catalogue.load()), 12, 60)],
    ids=["five claims, all failed", "a whole run"],
)
def test_the_report_is_short_on_paper(run, ids, bad, most):
    calls = "".join(f"+{n}.00 s  master  docker ls {n}\n    {'x' * 90}\n    {'y' * 90}\n\n" for n in range(90))
    verdicts = dict.fromkeys(ids, "pass") | dict.fromkeys(ids[:: max(1, len(ids) // bad)][:bad], "fail")
    checks = [
        {"check": f"check-{n}", "level": "ok" if n > 9 else "warning", "seen": "seen " * 9, "risk": "risk " * 9}
        | {"incident": "moby#1", "nodes": ["master"], "mend": "on master: " + "do it " * 20}
        for n in range(60)
    ]
    not_run = {id: "not selected" for id in catalogue.load() if id not in verdicts}
    look = [{"lab": "run-1", "findings": checks}]
    folder = run(verdicts, evidence=f"test: fail\n\n{calls}", not_run=not_run, preflight=look)
    html.write([load(folder)], folder / "report.html")
    found = looked_at(folder / "report.html")
    assert 0 < found["paper"]["pages"] <= most
    for view in found["views"]:
        assert view["violations"] == [], (view["scheme"], view["width"])
        assert view["overflow"] <= 0, (view["scheme"], view["width"])


def test_what_reads_badly_is_found(whole):
    html.write([load(whole)], whole / "report.html")
    text = (whole / "report.html").read_text()
    wrong = '<p style="color: #aaa; background: #bbb; width: 3000px">dim</p><img src="https://example.org/x.png">'
    text = text.replace("img-src data:", "img-src data: https:").replace(
        '<main id="content">', f'<main id="content">{wrong}'
    )
    text = text.replace("<script>", "<script>setTimeout(() => missing());", 1)
    (whole / "report.html").write_text(text)
    found = looked_at(whole / "report.html")
    for view in found["views"]:
        assert {"color-contrast", "image-alt"} <= {one["id"] for one in view["violations"]}
        assert view["overflow"] > 0
        assert len(view["unseen"]) == 1
    assert "https://example.org/x.png" in found["requests"]
    assert any("missing is not defined" in error for error in found["errors"])
