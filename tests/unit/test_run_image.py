"""The project's image: one Dockerfile for every way, of the checkout as it is. The engine is a double."""

import re
import tarfile
from types import SimpleNamespace

import docker
import pytest

from swarmlab.cluster.marks import LABEL_IMAGE
from swarmlab.errors import LabError
from swarmlab.images import run_image
from swarmlab.images.run_image import RunBase
from swarmlab.paths import ROOT
from tests.unit.helpers import Volumes

NAMES = {str(file.relative_to(ROOT)) for file in run_image.files()}


def patterns(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {re.sub(r"^\*\*/|^/|/?\*?$", "", line) for line in lines if line and line[0] not in "#!"}


def test_what_git_ignores_is_not_in_the_image():
    assert patterns(".gitignore") - {".egg-info"} <= patterns(".dockerignore") | {"*.egg-info"}
    assert not [name for name in NAMES if re.search(r"^(\.git|\.venv|reports)/|__pycache__|\.egg-info", name)]


def test_the_image_has_suites_claims_recipes_and_its_environments_lock():
    for name in ("conftest.py", "requirements.lock", "setup.sh", "images/workloads.yaml", "images/node/setup"):
        assert name in NAMES
    for folder in ("suites/ch7_usage/", "swarmlab/labs/", "fixtures/", "claims/"):
        assert any(name.startswith(folder) for name in NAMES)


def test_the_base_made_here_has_what_the_dockerfile_installs():
    given = (ROOT / "images" / "run" / "packages").read_text(encoding="utf-8").splitlines()
    own = RunBase("run", run_image.base().partition(":")[2].removesuffix("-slim"))
    assert own.packages == [line for line in given if not line.startswith("#")]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "RUN sh /tmp/run/install" in dockerfile
    assert "apt-get" not in dockerfile, "packages are in images/run/packages"
    assert own.settings == [], "settings are in the Dockerfile"


def test_every_file_that_the_dockerfile_copies_is_there():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name


def test_the_lock_of_the_environment_is_part_of_the_bases_name(monkeypatch, tmp_path):
    before = RunBase("run", "trixie").reference
    (tmp_path / "lock").write_text("six==1\n")
    monkeypatch.setattr(run_image, "_LOCKED", tmp_path / "lock")
    assert RunBase("run", "trixie").reference != before


def test_packages_of_python_are_taken_for_the_base_and_not_for_this_machine():
    names = run_image._platforms()
    assert "any" in names
    assert any(name.startswith("manylinux_2_17_") for name in names)


class Engine:
    """An engine that builds on the bases that it has, and notes what it was given."""

    def __init__(self, *bases, pulls=()):
        self.has, self.pulls, self.built = set(bases), pulls, []
        self.images = SimpleNamespace(get=self._get, list=self._list)
        self.api = SimpleNamespace(pull=self._pull, build=self._build, images=lambda **_: [])
        self.labelled = {}
        self.volumes = Volumes()

    def _get(self, name):
        if name not in self.has:
            raise docker.errors.ImageNotFound(name)

    def _list(self, filters):
        return [SimpleNamespace(tags=[tag]) for tag, label in self.labelled.items() if label == filters["label"]]

    def _pull(self, repository, tag, **_):
        name = f"{repository}:{tag}"
        if name not in self.pulls:
            return [{"error": "no way"}]
        self.has.add(name)
        return []

    def _build(self, *, fileobj, tag, buildargs, labels, **_):
        base = buildargs["BASE"]
        if base in self.pulls and len(self.pulls) > 1:
            log = [{"stream": "Err:1 http://deb.example trixie InRelease\n"}, {"stream": "E: Unable to fetch\n"}]
            return [*log, {"error": "apt failed"}]
        with tarfile.open(fileobj=fileobj) as archive:
            self.built.append((base, set(archive.getnames())))
        assert labels == {LABEL_IMAGE: run_image.NAME, run_image.ENVIRONMENT: run_image.environment()}
        self.labelled[tag] = f"{run_image.ENVIRONMENT}={run_image.environment()}"
        self.has.add(tag)
        return []


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Have the base image made without mmdebstrap; return its name."""
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        run_image.Workshop, "make", lambda self, root: self._client.has.add(root.reference) or root.reference
    )
    return RunBase("run", "trixie").reference


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("already", [True, False])
def test_debians_image_is_taken_where_it_is_had(already):
    engine = Engine(*([run_image.base()] if already else []), pulls=[run_image.base()])
    assert run_image.run_image(engine, lambda _: None) == run_image.reference()
    assert engine.built == [(run_image.base(), NAMES)]
    run_image.run_image(engine, lambda _: None)
    assert len(engine.built) == 1, "it is made once"


@pytest.mark.parametrize(("pulls", "why"), [((), "cannot be pulled"), ((run_image.base(), "x"), "E: Unable to fetch")])
def test_else_its_base_is_made_here_and_why_is_said(own, pulls, why):
    engine, said = Engine(pulls=pulls), []
    run_image.run_image(engine, said.append)
    assert [base for base, _ in engine.built] == [own]
    assert any(why in line and line.endswith("making the base image from Debian packages here") for line in said)


@pytest.mark.usefixtures("own")
def test_where_no_way_works_each_is_named(monkeypatch):
    def fail(*_):
        raise LabError("mmdebstrap could not make image run: no mirror")

    monkeypatch.setattr(run_image.Workshop, "make", fail)
    with pytest.raises(
        LabError, match=r"trixie-slim: it cannot be pulled: no way; and from Debian packages: mmdebstrap could not"
    ):
        run_image.run_image(Engine(), lambda _: None)


def test_a_base_that_is_given_is_taken(own):
    engine = Engine("mine:1", own)
    run_image.run_image(engine, lambda _: None, given="mine:1")
    assert [base for base, _ in engine.built] == ["mine:1"]


@pytest.mark.usefixtures("own")
def test_an_image_of_another_checkout_with_the_same_environment_serves(monkeypatch):
    engine = Engine(run_image.base())
    made = run_image.environment_image(engine, lambda _: None)
    monkeypatch.setattr(run_image, "reference", lambda: "swarmlab/run:of-a-change")
    assert run_image.environment_image(engine, lambda _: None) == made
    monkeypatch.setattr(run_image, "environment", lambda: "of-another-lock")
    assert run_image.environment_image(engine, lambda _: None) == "swarmlab/run:of-a-change"
