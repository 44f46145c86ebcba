"""The one cluster of a rehearsal, and how far it is."""

import contextlib

import pytest

from fixtures.rehearsal import plan_of
from fixtures.verdicts import reports_folder
from suites.support.upgrade.back import Back
from suites.support.upgrade.course import Course
from suites.support.upgrade.hurt import Hurt
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import LabError, SwarmlabError
from swarmlab.evidence import on_failure
from swarmlab.rehearsal.bodies import dress


@pytest.fixture(scope="session")
def _back(request, lab):
    back = Back(lab, plan_of(request.config))
    yield back
    back.end()


@pytest.fixture
def back(_back, stage):  # noqa: ARG001 - by it the tests have their place in the course
    """The ways back, played beside the upgrade from its beginning, whatever comes of it."""
    return _back


@pytest.fixture(scope="session")
def _hurt(request, lab):
    hurt = Hurt(lab, plan_of(request.config))
    yield hurt
    hurt.end()


@pytest.fixture
def hurt(_hurt, stage):  # noqa: ARG001 - as above
    """The incidents that take a node that is hurt."""
    return _hurt


@pytest.fixture(scope="session")
def _course(request, lab, _back, _hurt):
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
    course = Course(lab, cluster, plan, reports_folder(request.config) / "rehearsal.json")
    yield course
    course.rest()
    if lab.standing:
        cluster.clean(kept=True)
    else:
        lab.remove(cluster.nodes)


@pytest.fixture
def course(_course, stage):
    """The rehearsal's cluster, as far as it was upgraded; a test is given it at its stage, or not at all."""
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
    """The rehearsal's cluster; only what a test made and left there, as one does that fails, is removed again."""
    swarm = course.cluster
    before = swarm.made("services", "networks")
    yield swarm
    with contextlib.suppress(SwarmlabError):  # what is wrong with the cluster is told by its tests
        swarm.remove(one for one in swarm.made("services", "networks") if one not in before)
