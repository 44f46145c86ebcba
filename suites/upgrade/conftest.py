"""The one cluster of a rehearsal, at the stage that it has reached."""

import contextlib

import pytest

from fixtures.rehearsal import plan_of
from fixtures.verdicts import run_folder
from suites.support.upgrade.course import Course
from suites.support.upgrade.second_cluster import SecondCluster
from suites.support.upgrade.way_back import WayBack
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked, LabError, SwarmlabError
from swarmlab.evidence import on_failure
from swarmlab.rehearsal.likeness.apply import dress


@pytest.fixture(scope="session")
def _lab(lab):
    """The lab, before anything is made or changed in it.

    Raises:
        Blocked: it may not be disrupted. The needs of a test's claims are looked at only after this.
    """
    if not lab.offers.disruptable:
        raise Blocked("a rehearsal disrupts its cluster, and this lab may not be disrupted")
    return lab


@pytest.fixture(scope="session")
def _back(request, _lab):
    back = WayBack(_lab, plan_of(request.config))
    yield back
    back.end()


@pytest.fixture
def back(_back, stage):  # noqa: ARG001 - the stage gives tests their place
    """The ways back, tried beside the upgrade from its beginning."""
    return _back


@pytest.fixture(scope="session")
def _second_cluster(request, _lab):
    second = SecondCluster(_lab, plan_of(request.config))
    yield second
    second.end()


@pytest.fixture
def second_cluster(_second_cluster, stage):  # noqa: ARG001 - as above
    """The cluster that takes the incidents which hurt a node."""
    return _second_cluster


@pytest.fixture(scope="session")
def _course(request, _lab, _back, _second_cluster):
    lab = _lab
    plan = plan_of(request.config)
    if lab.standing:
        cluster = Swarm(lab.nodes(), image=lab.image)
        cluster.clean(kept=True)
    else:
        cluster = Swarm.form(lab.more(plan.nodes), managers=plan.managers, image=lab.image)
        if plan.likeness:
            dress(cluster, plan.likeness)
    roles = list(cluster.roles().values())
    if (roles.count("manager"), roles.count("worker")) != (plan.managers, plan.workers):
        raise LabError(f"the cluster has {roles}, the plan {plan.managers} managers and {plan.workers} workers")
    course = Course(lab, cluster, plan, run_folder(request.config) / "rehearsal.json")
    yield course
    course.rest()
    if lab.standing:
        cluster.clean(kept=True)
    else:
        lab.remove(cluster.nodes)


@pytest.fixture
def course(_course, stage):
    """The course of the rehearsal at the test's stage.

    Raises:
        LabError: the upgrade did not come so far.
    """
    if _course.done != stage:
        raise LabError(f"the upgrade is at {_course.plan.stage(_course.done)} only")

    def diagnose(journal):
        for name, text in _course.cluster.diagnosis().items():
            journal.attach(name, text)

    on_failure.append(diagnose)
    yield _course
    on_failure.remove(diagnose)


@pytest.fixture
def cluster(course):
    """The rehearsal's cluster; services and networks that a failed test leaves there are removed."""
    swarm = course.cluster
    before = swarm.made("services", "networks")
    yield swarm
    with contextlib.suppress(SwarmlabError):  # tests judge what is wrong with the cluster
        swarm.remove(made for made in swarm.made("services", "networks") if made not in before)
