"""The report of runs: true to verdicts.json, safe to open, small, and one line for what is no run."""

import hashlib
import json
import re
import time
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from swarmlab.cli.main import main
from swarmlab.errors import UsageError
from swarmlab.paths import ROOT
from swarmlab.report import html
from swarmlab.report.about import label
from swarmlab.report.condense import condense
from swarmlab.report.overall import overall, overall_of
from swarmlab.report.pages import duration
from swarmlab.verdicts import catalogue, manifest
from swarmlab.verdicts.parts import chapter_of
from swarmlab.verdicts.results import load
from tests.unit.helpers import IDS, NODE, WORDS

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>Requests</title><desc>1 &amp; 2</desc><script>x()</script></svg>'


class Page(HTMLParser):
    """A page's ids, links within it and elements, checked for being closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        if tag not in ("meta", "img", "input", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


def page(*folders):
    text = html.render([load(folder) for folder in folders], beside=folders[0])
    read = Page(text)
    assert not read.open
    return text, read


def text_of(text):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_every_claim_stands_there_with_all_that_is_known_of_it(run):
    verdicts = dict(zip(IDS, ["pass", "fail", "blocked", "broken", "timeout", "waived"], strict=False))
    text, read = page(run(verdicts))
    for number, (id, verdict) in enumerate(verdicts.items()):
        (article,) = re.findall(rf'<article[^>]*id="{id}".*?</article>', text, re.DOTALL)
        shown = text_of(article)
        claim = catalogue.load()[id]
        for word in (verdict, id, claim.level, "1.5 s", f"suites/t.py::t{number}", f"{number}.txt", "docker node ls"):
            assert word in shown, (id, word)
        assert ("Reason. why" in shown) == (verdict != "pass")
    assert "<b>& so</b>" not in text
    for word in ("Does not conform", "run-1", "1.2.3", "6.1", "nf_tables", "2026-11-24 10:00 UTC", "75 s"):
        assert word in text_of(text)
    inner = [link[1:] for link in read.links if link.startswith("#")]
    assert set(inner) <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))
    assert not [link for link in read.links if ":" in link and not link.startswith("https://")]


def assert_true_to_verdicts(folder):
    """Every figure of the report of a run, read from its page, against the run's verdicts.json."""
    raw = json.loads((folder / "verdicts.json").read_text())
    text = html.render([load(folder)], beside=folder)
    assert "Matrix" not in text, "a single run has no matrix"
    verdicts = {claim["id"]: claim["verdict"] for claim in raw["claims"]} | dict.fromkeys(raw["not_run"], "not run")
    levels = {id: claim.level for id, claim in catalogue.load().items()}
    levels |= {claim["id"]: claim["level"] for claim in raw["claims"]}

    def counted(ids):
        counts = [sum(verdicts[id] == word for id in ids) for word in WORDS]
        return [str(count or "") for count in counts] + [str(sum(counts))]

    def figures(row):
        return [text_of(cell) for cell in re.findall(r'<td class="number[^>]*>(.*?)</td>', row)]

    tally = [word for word in WORDS if word in verdicts.values()]
    sentence = ", ".join(f"{list(verdicts.values()).count(word)} {word}" for word in tally)
    assert f"Of the catalogue's {len(verdicts)} claims: {sentence}." in text_of(text)
    (listed,) = re.findall(r'<ul class="tally">(.*?)</ul>', text, re.DOTALL)
    shown = [text_of(one).split(maxsplit=2) for one in re.findall("<li>(.*?)</li>", listed)]
    assert [(number, word) for number, _, word in shown] == [
        (str(list(verdicts.values()).count(word)), word) for word in tally
    ]
    widths = re.findall(r'<span class="([\w-]+)" style="flex-grow: (\d+)">', text)
    assert widths == [(word.replace(" ", "-"), str(list(verdicts.values()).count(word))) for word in tally]

    chapters, by_level = re.findall(r'<table class="summary">.*?</table>', text, re.DOTALL)
    *rows, all_of_them = re.findall("<tr><th scope=.row.>.*?</tr>", chapters)
    for (chapter, title), row in zip(catalogue.load().of(load(folder).parts).titles.items(), rows, strict=True):
        assert text_of(row).startswith(title)
        assert figures(row) == counted([id for id in verdicts if chapter_of(id) == chapter])
    assert figures(all_of_them) == counted(verdicts)
    for level in ("critical", "major", "minor"):
        (row,) = re.findall(f"<tr><th scope=.row.>{level}</th>.*?</tr>", by_level)
        assert figures(row) == counted([id for id in verdicts if levels[id] == level])

    for claim in raw["claims"]:
        (article,) = re.findall(rf'<article[^>]*id="{claim["id"]}".*?</article>', text, re.DOTALL)
        shown = text_of(article)
        assert f" {claim['verdict']} {claim['id']} {claim['level']} " in shown
        assert f"{duration(claim['seconds'])}; " in shown
        assert not claim["reason"] or f"Reason. {' '.join(claim['reason'].split())}" in shown
        for file in claim["evidence"]:
            digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()[:16]
            assert f"{file.removeprefix('evidence/')} sha256 {digest}…" in shown
        for test in claim["tests"]:
            function, _, parameters = test.partition("[")
            assert function in shown
            assert parameters in shown
    assert len(re.findall("<article", text)) == len(raw["claims"])
    for word, reasons in (
        ("blocked", [claim["reason"] for claim in raw["claims"] if claim["verdict"] == "blocked"]),
        ("not run", [why for why in raw["not_run"].values() if why != "not selected"]),
    ):
        for reason in set(reasons):
            assert f"{' '.join(reason.split())} {reasons.count(reason)} " in text_of(text), word
    (attention,) = re.findall(r'<h2 id="attention">.*?</section>', text, re.DOTALL)
    bad = [id for id, verdict in verdicts.items() if verdict in ("fail", "broken", "timeout")]
    assert sorted(re.findall(r'<div class="card [^>]* aria-label="([^"]+)">', attention)) == sorted(bad)


def test_every_figure_is_that_of_the_verdicts(run):
    verdicts = {id: WORDS[number % 8] for number, id in enumerate(IDS) if number % 8 < 6}
    folder = run(verdicts)
    changed = json.loads((folder / "verdicts.json").read_text())
    for number, claim in enumerate(changed["claims"]):
        claim["seconds"] = round(0.07 * number**2, 2)
        claim["tests"] = [f"suites/t.py::t{number}[{node}]" for node in ("master", "slave01")]
    changed["not_run"][next(iter(changed["not_run"]))] = "another reason"
    (folder / "verdicts.json").write_text(json.dumps(changed))
    assert_true_to_verdicts(folder)


@pytest.mark.parametrize(
    ("verdicts", "not_run", "word", "tone"),
    [
        (["pass", "fail", "broken"], {}, "Does not conform", "bad"),
        (["pass", "broken"], {}, "Not established", "open"),
        (["pass", "timeout"], {}, "Not established", "open"),
        (["pass"], {"x": "the run ended before"}, "Not established", "open"),
        (["blocked"], {}, "Nothing judged", "open"),
        ([], {"x": "no test"}, "Nothing judged", "open"),
        (["pass", "blocked"], {}, "No failure in what was judged", "part"),
        (["pass"], {"x": "not selected"}, "No failure in what was judged", "part"),
        (["pass", "waived", "waived", "blocked"], {}, "No failure in what was judged, 2 waived", "open"),
        (["pass", "waived"], {}, "Conforms, 1 waived", "open"),
        (["pass"], {}, "Conforms", "good"),
    ],
)
def test_the_verdict_of_the_whole_is_never_better_than_what_it_holds(run, verdicts, not_run, word, tone):
    one = load(run(dict(zip(IDS, verdicts, strict=False)), not_run=not_run))
    whole = overall(one)
    assert (whole.word, whole.tone) == (word, tone)
    better = load(run({IDS[0]: "pass"}, name="better", not_run={}))
    assert overall_of([better, one]).tone == tone


def test_what_preflight_found_stands_on_the_cover_beside_what_it_may_explain(run):
    closed = {
        "check": "port-gossip-udp",
        "level": "error",
        "seen": "gossip does not arrive: master -> slave02 <b>",
        "risk": "names come late",
        "incident": "moby#1",
        "nodes": ["slave02"],
    }
    fine = closed | {"check": "disk", "level": "ok", "seen": "room on /run", "nodes": []}
    look = {"lab": "run-1", "seconds": 2.0, "evidence": "evidence/preflight-run-1.txt", "findings": [closed, fine]}
    failed = next(id for id in IDS if id.startswith("7.2.1/"))
    text, _ = page(run({failed: "fail", IDS[0]: "pass"}, preflight=[look]))
    shown = text_of(text)
    cover = text_of(text[: text.index("</header>")])
    assert "Preflight 1 error, 1 ok" in cover
    assert "Preflight findings may explain 1 of 1 claims that need attention: error port-gossip-udp slave02:" in cover
    assert "Possible cause: error port-gossip-udp slave02: gossip does not arrive" in shown
    for word in ("names come late", "moby#1", "room on /run", "evidence/preflight-run-1.txt"):
        assert word in shown
    assert "slave02 <b>" not in text
    # What may follow from another finding is not listed beside it.
    full = closed | {
        "check": "limits",
        "level": "warning",
        "seen": "9 of 9 connections are tracked",
        "nodes": ["slave02"],
    }
    follows = closed | {"because": "limits: slave02: 9 of 9 connections are tracked"}
    text, _ = page(run({failed: "fail"}, name="full", preflight=[look | {"findings": [full, follows, fine]}]))
    shown = text_of(text)
    assert shown.count("Possible cause: ") == 1
    possible = "warning limits slave02: 9 of 9 connections are tracked (from which port-gossip-udp may follow)"
    assert f"Possible cause: {possible}" in shown
    assert "<details open><summary>1 more may follow from it" in text, "an error is not hidden below a warning"
    # Without a failure there is nothing to explain. Without preflight the page does not say that all is well.
    text, _ = page(run({IDS[0]: "pass"}, name="well", preflight=[look]))
    assert "may explain" not in text_of(text[: text.index("</header>")])
    text, _ = page(run({failed: "fail"}, name="old"))
    assert "Preflight did not run" in text_of(text)
    assert "may explain" not in text_of(text[: text.index("</header>")])


def test_several_runs_stand_side_by_side(run):
    old = run({IDS[0]: "pass", IDS[1]: "pass"}, name="old", engine="20.10.5")
    new = run({IDS[0]: "fail", IDS[2]: "blocked"}, name="new", engine="28.5.2")
    text, _ = page(old, new)
    (row,) = re.findall(rf'<tr><th scope="row"><a href="#{IDS[0]}">.*?</tr>', text, re.DOTALL)
    assert text_of(row).endswith("✓ pass ✗ fail")
    (row,) = re.findall(rf'<tr><th scope="row"><a href="#{IDS[1]}">.*?</tr>', text, re.DOTALL)
    assert text_of(row).endswith("✓ pass – not run")
    assert "../new/evidence/0.txt" in text
    assert "1 of 2 runs: does not conform." in text
    assert "why blocked" in text_of(text)


def test_runs_of_one_engine_are_told_apart(run):
    folders = [run({IDS[0]: "pass"}, name=name) for name in ("a", "b")]
    labels = [label(load(folder), [load(folder) for folder in folders]) for folder in folders]
    assert len(set(labels)) == 2


def test_pictures_are_shown_and_cannot_run(run):
    folder = run({IDS[0]: "pass"})
    raw = json.loads((folder / "verdicts.json").read_text())
    (folder / "evidence" / "requests.svg").write_text(SVG)
    raw["claims"][0]["evidence"] += ["evidence/requests.svg", "evidence/gone.txt"]
    (folder / "verdicts.json").write_text(json.dumps(raw))
    text, read = page(folder)
    (picture,) = [found for tag, found in read.tags if tag == "img"]
    assert picture["src"].startswith("data:image/svg+xml;base64,")
    assert picture["alt"] == "Requests. 1 & 2"
    assert "<script>x()" not in text
    assert "gone.txt the file is gone" in text_of(text)
    cover = text_of(text[: text.index("</header>")])
    assert "Evidence is missing. 1 file that a verdict rests on is not there any more: evidence/gone.txt" in cover


def test_nothing_is_loaded_from_elsewhere_and_evidence_cannot_be_markup(run):
    text, read = page(run({IDS[0]: "fail"}, evidence="<script>alert(1)</script> </pre><img src=x>"))
    assert [tag for tag, _ in read.tags].count("script") == 1
    assert not [tag for tag, _ in read.tags if tag in ("img", "link", "iframe", "object")]
    # Issues and pages are links, which nothing follows but a reader.
    assert not [found for _, found in read.tags if re.match("https?:", found.get("src", ""))]
    assert {tag for tag, found in read.tags if re.match("https?:", found.get("href", ""))} <= {"a"}
    assert "default-src 'none'" in text


def test_labs_clocks_and_what_went_astray_are_told(run):
    nodes = [{**NODE, "name": name, "lab": lab, "clock": "+0.1 s"} for lab in ("a", "b") for name in ("m", "s")]
    folder = run(
        {IDS[0]: "pass"},
        nodes=nodes,
        lost_workers={"gw1": "Not properly terminated"},
        followed={"tasks": 832, "services": 205, "tests": 110},
    )
    shown = text_of(page(folder)[0])
    assert "4 nodes in 2 labs, each a container with an engine of its own" in shown
    assert "832 of 205 services, in 110 tests" in shown
    assert "Worker gw1 died (Not properly terminated)" in shown
    assert shown.count("+0.1 s") == 4
    assert "Run by not known" in shown
    assert "Evidence: commands and calls to master (1)" in shown


def test_waivers_and_errata_are_told(run):
    waiver = {"claim": IDS[0], "owner": "ops", "expires": "2030-01-01", "justification": "known", "outcome": "waived"}
    wrong, other = [claim for claim in catalogue.load().values() if claim.erratum][:2]
    folder = run({IDS[0]: "waived", wrong.id: "pass"}, waivers=[waiver])
    shown = text_of(page(folder)[0])
    assert f"{IDS[0]} ops 2030-01-01 every run known waived" in shown
    assert " ".join(wrong.erratum.split())[:40] in shown
    assert " ".join(other.erratum.split())[:40] not in shown, "of claims that were not judged nobody wants to know"


def test_a_run_of_the_whole_catalogue_is_small_and_quick(run):
    entry = '+0.10 s  master  GET /v1.41/services\n    200 {"a": "<&>"}' + "x" * 900 + "\n\n"
    long = "test: fail\n\n" + "".join(entry.replace("0.10", f"{n}.00").replace("200", str(n)) for n in range(100))
    folder = run(dict.fromkeys(IDS, "fail"), evidence=long)
    start = time.process_time()  # of the machine's clock others take their share
    html.write([load(folder)], folder / "report.html")
    assert time.process_time() - start < 20
    assert (folder / "report.html").stat().st_size < 10_000_000


def test_condensing_keeps_each_question_once_and_says_what_it_left_out():
    entry = "+{n}.00 s  master  GET /nodes?filters=%7B%22id%22%3A1%7D\n    200 []\n\n"
    text = "a test: pass\n\n" + "".join(entry.format(n=n) for n in range(7))
    short = condense(text + "+9.00 s  master  cat\n    " + "y" * 900 + "\n\n==== log\n" + "z" * 9000, 5000)
    assert short.startswith(
        'a test: pass\n\n+0.00 s  master  GET /nodes?filters={"id":1}   (the same 7 times)\n    200 []'
    )
    assert short.count("GET /nodes") == 1
    assert "characters more]" in short
    assert "characters before this" in short
    many = "a test: pass\n\n" + "".join(f"+{n}.00 s  master  ask {n}.\n    told {n}\n\n" for n in range(500))
    short = condense(many, 2000)
    assert len(short) < 2200
    assert "ask 0." in short
    assert "ask 499." in short
    assert re.search(r"\(… \d+ entries left out here …\)", short)


WRONG = {
    "nothing": (None, "no such file"),
    "no JSON": ("{", "is not JSON: "),
    "another JSON": ('{"schema": 1}', "holds no verdicts of the suites: 'started' is a required property"),
    "a list": ("[]", "holds no verdicts of the suites: [] is not of type 'object'"),
    "newer": ('{"schema": 2}', "has schema 2; this release reads 1"),
    "binary": (b"\xff\xfe\x00", "line 1: is not text in UTF-8"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_run_is_one_line(kind, tmp_path, capsys):
    content, message = WRONG[kind]
    file = tmp_path / "verdicts.json"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["report", str(file)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"swarmlab: {file}")
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"summary": {"pass": 2}}, "contradicts itself: its summary"),
        ({"not_run": {IDS[0]: "no test"}}, "is both judged and not run"),
        ({"started": "yesterday"}, "'yesterday' is not a date"),
        ({"started": "9999-12-31T23:59:59+00:00"}, "'9999-12-31T23:59:59+00:00' is not a date, or "),
        ({"seconds": float("nan")}, "is not JSON: NaN is no number"),
        ({"seconds": 1e300}, "is not JSON: 1e+300 is too large a number"),
        ({"seconds": 10**15}, " s after it is none"),
        ({"lab": {"each": {"x": 5}}}, "lab/each/x: 5 is not of type 'object'"),
        ({"lab": {"each": {"x": {"memory_mib": [1]}}}}, "lab/each/x/memory_mib: [1] is not of type 'object'"),
        ({"cluster": "\ud800"}, "is half of a character"),
        ({"claims": [{"id": "x"}]}, "claims/0: "),
    ],
)
def test_verdicts_that_contradict_themselves_are_refused(run, change, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        load(run({IDS[0]: "pass"}, **change))


def test_a_claim_is_judged_once(run):
    folder = run({IDS[0]: "pass", IDS[1]: "fail"})
    file = folder / "verdicts.json"
    raw = json.loads(file.read_text())
    raw["claims"][1]["id"] = IDS[0]
    file.write_text(json.dumps(raw))
    with pytest.raises(UsageError, match=f"contradicts itself: {IDS[0]} is judged twice"):
        load(folder)
    file.write_text('{"schema": 1, "schema": 1}')
    with pytest.raises(UsageError, match="the key 'schema' stands twice"):
        load(folder)


def test_evidence_whose_name_no_file_has_is_gone(run):
    folder = run({IDS[0]: "pass"})
    raw = json.loads((folder / "verdicts.json").read_text())
    raw["claims"][0]["evidence"] = ["evidence/a\0b"]
    (folder / "verdicts.json").write_text("\ufeff" + json.dumps(raw))
    assert main(["report", str(folder), "--out", str(folder / "page.html")]) == 0


@pytest.mark.parametrize("name", ["evidence/../../secret", "/etc/passwd", "evidence/..", "verdicts.json"])
def test_evidence_is_read_from_the_runs_own_folder_only(run, name):
    folder = run({IDS[0]: "pass"})
    raw = json.loads((folder / "verdicts.json").read_text())
    raw["claims"][0]["evidence"] = [name]
    (folder / "verdicts.json").write_text(json.dumps(raw))
    with pytest.raises(UsageError, match="claims/0/evidence/0"):
        load(folder)


def test_the_command_writes_beside_the_run_or_where_it_is_told(run, tmp_path, capsys):
    folder = run({IDS[0]: "pass"})
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert main(["report", str(folder), "--out", str(tmp_path / "other" / "r.html")]) == 0
    assert 'href="../run/evidence/0.txt"' in (tmp_path / "other" / "r.html").read_text()
    (tmp_path / "file").write_text("")
    assert main(["report", str(folder), "--out", str(tmp_path / "file" / "r.html")]) == 3
    assert "cannot be written" in capsys.readouterr().err


def test_a_known_failure_stands_beside_its_reason_and_is_a_failure(run):
    folder = run({IDS[0]: "fail", IDS[1]: "fail"})
    raw = json.loads((folder / "verdicts.json").read_text())
    known = {"incident": "x#1", "cause": "the engine forgets it", "engines": ["1.2.3"], "mended": "1.3"}
    raw["claims"][0]["known"] = [known, known | {"incident": "x#2", "mended": ""}]
    (folder / "verdicts.json").write_text(json.dumps(raw))
    text, _ = page(folder)
    shown = "Known. x#1: the engine forgets it. Engine 1.2.3; mended in 1.3. The claim fails all the same."
    assert text_of(text).count(shown) == 2  # what needs attention, and the claim
    assert text_of(text).count("Known. x#2") == 2
    assert "no known release mends it" in text_of(text)
    assert "Does not conform" in text_of(text)
    assert_true_to_verdicts(folder)


def test_who_ran_it_where_when_and_the_digest_stand_on_the_cover(run):
    suite = {"version": "1.0", "revision": "abc123"}
    folder = run({IDS[0]: "pass"}, user="ops, as root", host="ci-1", suite=suite)
    cover = text_of(page(folder)[0].partition("</header>")[0])
    for words in (
        "Run by ops, as root on ci-1",
        "2026-11-24 10:00 UTC to 10:01 UTC (75 s)",
        "1.0, revision abc123",
    ):
        assert words in cover
    assert "Digest of all files of the run none" in cover
    digest = manifest.write(folder)
    cover = text_of(page(folder)[0].partition("</header>")[0])
    assert f"sha256 {digest}" in cover
    assert "not as the run left them" not in cover
    (folder / "evidence" / "0.txt").write_text("nicer")
    cover = text_of(page(folder)[0].partition("</header>")[0])
    assert "Files are not as the run left them (swarmlab verify): changed: evidence/0.txt" in cover


def test_the_hosts_of_a_merged_run_stand_on_the_cover(run):
    shards = [{"shard": f"{n}/2", "host": f"ci-{n}", "started": "x", "seconds": 1, "unfinished": ""} for n in (1, 2)]
    cover = text_of(page(run({IDS[0]: "pass"}, user="ops", shards=shards))[0].partition("</header>")[0])
    assert "Run by ops on ci-1, ci-2" in cover


def test_what_was_not_selected_is_counted_and_not_listed(run):
    chapter = [id for id in IDS if id.startswith("1.")]
    not_run = dict.fromkeys((id for id in IDS if id != IDS[0]), "not selected") | {chapter[1]: "no test"}
    text, _ = page(run({IDS[0]: "pass"}, not_run=not_run))
    shown = text_of(text)
    assert f"{len(IDS) - 2} claims were not selected: {len(chapter) - 2} of Chapter 1" in shown
    assert f"no test 1 {chapter[1]}" in shown
    assert chapter[2] not in shown
    assert len(text) < 120_000


def test_a_card_says_all_that_an_operator_needs(run):
    failed = "7.2.1/reachable-on-any-node"
    closed = {
        "check": "port-data-udp",
        "level": "error",
        "seen": "UDP to port 4789 does not arrive: master -> slave02",
        "risk": "r",
        "incident": "moby#1",
        "nodes": ["slave02"],
        "mend": "on slave02: allow it, see moby#2",
        "fix": "iptables -I INPUT -p udp --dport 4789 -j ACCEPT",
    }
    long = "port 30000 of slave02: " + "no answer from the task there, " * 12
    folder = run({failed: "fail"}, preflight=[{"lab": "run-1", "findings": [closed]}])
    raw = json.loads((folder / "verdicts.json").read_text())
    raw["claims"][0]["reason"] = long
    raw["lab"]["each"] = {"swarmlab": {"standing": True}}
    raw["nodes"] = [{**NODE, "name": name} for name in ("master", "slave02")]
    (folder / "verdicts.json").write_text(json.dumps(raw))
    text, _ = page(folder)
    (card,) = re.findall(r'<div class="card .*?<!-- card -->', text, re.DOTALL)
    shown = text_of(card)
    claim = catalogue.load()[failed]
    for words in (
        claim.must,
        "Why. port 30000 of slave02: no answer",
        "The whole reason",
        "Possible cause: error port-data-udp slave02: UDP to port 4789 does not arrive",
        "Do this next",
        "iptables -I INPUT -p udp --dport 4789 -j ACCEPT",
        "on slave02: allow it, see moby#2",
        f"pytest {ROOT / 'suites'}/ --claim {failed}" if Path.cwd() != ROOT else f"pytest suites/ --claim {failed}",
        "The document (line ",
        "What usually breaks it:",
        "Evidence: 0.txt",
    ):
        assert words in shown, words
    assert 'lang="zh"' in card
    assert 'href="https://github.com/moby/moby/issues/2"' in card
    line = re.search(r'<p class="reason"><b>Why.</b> (.*?)</p>', card)[1]
    assert len(line) < 140


def test_the_worst_cards_are_open_and_the_others_have_one_line(run):
    text, _ = page(run(dict.fromkeys(IDS[:30], "fail")))
    cards = re.findall(r'<div class="card .*?<!-- card -->', text, re.DOTALL)
    assert len(cards) == 30
    folded = ["<details><summary>why fail" in card for card in cards]
    assert folded == [False] * 10 + [True] * 20
    levels = [catalogue.load()[re.search('aria-label="([^"]+)"', card)[1]].level for card in cards]
    assert levels == sorted(levels, key=["critical", "major", "minor"].index)


def test_the_history_of_a_claim_and_how_flaky_it_is_are_shown(run):
    suite = {"version": "1.0", "revision": "abc123"}
    for number, verdict in enumerate(["fail", "pass", "fail", "pass"]):
        started = f"2026-11-2{number}T10:00:00+00:00"
        name = f"reports/runs/2026112{number}T100000Z-dind"
        folder = run({IDS[0]: verdict}, name=name, started=started, suite=suite)
    text, _ = page(folder)
    (article,) = re.findall(rf'<article[^>]*id="{IDS[0]}".*?</article>', text, re.DOTALL)
    assert "flaky: 2 of its last 4 runs ended differently" in text_of(article)
    assert 'aria-label="Its last 4 runs, the oldest first: fail in 1.5 s on 20 Nov 10:00; pass' in article
    assert "<svg" not in page(run({IDS[0]: "pass"}, name="alone"))[0]
