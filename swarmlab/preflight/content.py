"""Checks of images: whether all nodes run the same content, and whether a node could pull what it may have to run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.cluster.marks import ours
from swarmlab.lists import few
from swarmlab.preflight import work
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import LACKS, LIMITED, LOGIN, THERE, UNREACHED, NodeView, Pull, Sight, by_managers
from swarmlab.preflight.work import Work

#: The registry of references without a host. It counts who asks, and refuses after some hundred questions.
HUB = "docker.io"
#: The most images for which registries are asked, and for which that one is.
_MOST, _MOST_OF_HUB = 16, 4
_OF_IMAGES = re.compile(r"no such image|pull|manifest|registry|repository", re.IGNORECASE)


@dataclass(frozen=True)
class Reference:
    """The parts of an image reference.

    Attributes:
        registry: host and port of the registry.
        repository: the name without tag and digest, as engines list it.
        tag: the tag; empty if there is only a digest.
        digest: the digest; empty if the reference is not pinned.
    """

    registry: str
    repository: str
    tag: str
    digest: str


def parse(reference: str) -> Reference:
    """Return the parts of an image reference."""
    name, _, digest = reference.partition("@")
    path, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    repository = f"{path}/{last}" if path else last
    first, slash, rest = repository.partition("/")
    registry = first if slash and (re.search(r"[.:]", first) or first == "localhost") else HUB
    if registry == HUB:
        repository = rest if first in (HUB, "index.docker.io") and slash else repository
        repository = repository.removeprefix("library/")
    return Reference(registry, repository, tag or ("" if digest else "latest"), digest)


def _entry(view: NodeView, reference: str) -> dict[str, Any] | None:
    """Return the image that a node has under a reference; None if it has none."""
    wanted = parse(reference)
    for image in view.images or []:
        if wanted.digest:
            digests = [parse(one) for one in image.get("RepoDigests") or []]
            if any((one.repository, one.digest) == (wanted.repository, wanted.digest) for one in digests):
                return image
        elif any((one := parse(tag)).repository == wanted.repository and one.tag == wanted.tag for tag in _tags(image)):
            return image
    return None


def _tags(image: Mapping[str, Any]) -> list[str]:
    return [tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"]


def _lacks(view: NodeView, reference: str) -> bool:
    return view.images is not None and _entry(view, reference) is None


def _used(sight: Sight) -> list[tuple[Work, list[NodeView]]]:
    """Return the services that are to have tasks of an image, each with the nodes that may run them."""
    views = sight.members_read
    members = work.members_by_id(sight)
    found = []
    for each in work.works(sight):
        if work.image_of(work.template(each.service)) and each.wanted(sight):
            may = [views[node] for node in each.nodes(sight) if node in views]
            found.append((each, [view for view in may if work.suits(each.service, members[view.node_id])]))
    return found


def _waiting(sight: Sight, view: NodeView) -> list[str]:
    """Return the images that tasks on a node wait for, or were refused for."""
    return [
        work.image_of(task.get("Spec", {}))
        for task in sight.tasks
        if task.get("NodeID") == view.node_id
        and (
            (task["Status"]["State"] == "preparing" and task["DesiredState"] in work.WANTED)
            or (task["Status"]["State"] == "rejected" and _OF_IMAGES.search(work.reason(task)))
        )
    ]


def questions(sight: Sight) -> list[tuple[NodeView, str]]:
    """Return which nodes are to ask a registry for which references.

    One node asks for each image, and each node that may have to pull asks its registry for at least one. The registry
    of references without a host is asked only for images that a node lacks.
    """
    asked: dict[tuple[str, str], tuple[NodeView, str]] = {}
    used = [(work.image_of(work.template(each.service)), views) for each, views in _used(sight)]

    def ask(view: NodeView, reference: str) -> None:
        asked.setdefault((view.name, reference), (view, reference))

    hub = 0
    for reference, views in list(dict(used).items())[:_MOST]:
        lacking = [view for view in views if _lacks(view, reference)]
        if parse(reference).registry != HUB:
            for view in sorted(views, key=lambda view: view.name != sight.asked)[:1]:
                ask(view, reference)
        elif lacking and hub < _MOST_OF_HUB:
            hub += 1
            ask(lacking[0], reference)
    first: dict[str, str] = {}
    for reference, _ in used:
        first.setdefault(parse(reference).registry, reference)
    for reference, views in used:
        registry = parse(reference).registry
        for view in views if registry != HUB else []:
            if not any(name == view.name and parse(other).registry == registry for name, other in asked):
                ask(view, reference if len(asked) > _MOST else first[registry])
    for view in sight.nodes:
        if view.active:
            for reference in list(filter(None, dict.fromkeys(_waiting(sight, view))))[:2]:
                ask(view, reference)
    return list(asked.values())


def pulls(sight: Sight, task: Mapping[str, Any]) -> bool:
    """Whether the node of a task that prepares may well be pulling its image: it lacks it, and the registry answers."""
    view = sight.members_read.get(task.get("NodeID", ""))
    reference = work.image_of(task.get("Spec", {}))
    answer = view.pulls.get(reference) if view else None
    if not view or not answer or answer.kind not in (THERE, LOGIN) or view.images is None:
        return False
    image = _entry(view, reference)
    return image is None or (bool(answer.digest) and answer.digest not in _content(view, image, "", reference).digests)


def wants_login(sight: Sight, reference: str) -> bool:
    """Whether the registry of an image tells of it only after a login, or lacks it and does not say so."""
    kinds = {view.pulls[reference].kind for view in sight.nodes if reference in view.pulls}
    return LOGIN in kinds and THERE not in kinds


def limited(sight: Sight, reference: str) -> bool:
    """Whether the registry of an image takes no more requests from nodes for now."""
    kinds = {view.pulls[reference].kind for view in sight.nodes if reference in view.pulls}
    return LIMITED in kinds and THERE not in kinds


def more_requests(registry: str, services: Sequence[str]) -> str:
    """Return the mend where a registry takes no more requests for the images of services: who logs in has more."""
    where = "" if registry == HUB else f" {registry}"
    one = services[0] if len(services) == 1 else f"SERVICE, for {few(services)}"
    return (
        f"have a mirror (registry-mirrors), wait, or log in, as who does may ask more often: on a manager: docker "
        f"login{where}; docker service update --with-registry-auth {one}"
    )


# Content


@dataclass(frozen=True)
class _Content:
    """What a node has under a name: the image's id, its digests in the repository, and what ids there depend on."""

    id: str
    digests: frozenset[str]
    kind: tuple[str, ...]

    def differs(self, other: _Content) -> bool:
        """Whether two contents are certainly not the same."""
        if self.id == other.id or self.digests & other.digests:
            return False
        # Ids are of a platform, and of how an engine stores images; digests in a registry are of neither.
        return bool(self.digests and other.digests) or self.kind == other.kind

    def __str__(self) -> str:
        return min(self.digests, default=self.id).removeprefix("sha256:")[:12]


def _content(view: NodeView, image: Mapping[str, Any] | None, identity: str, reference: str) -> _Content:
    repository = parse(reference).repository
    listed = [parse(one) for one in (image or {}).get("RepoDigests") or []]
    digests = [one.digest for one in listed if one.repository == repository]
    store = [str(value) for pair in view.info.get("DriverStatus") or [] if pair[0] == "driver-type" for value in pair]
    return _Content(identity, frozenset(digests), (str(view.info.get("Architecture", "")), *store))


def _running(sight: Sight, each: Work) -> dict[str, dict[str, _Content]]:
    """Return what a service's tasks run: the content by host name, by the reference that the tasks have."""
    views = sight.members_read
    found: dict[str, dict[str, _Content]] = {}
    for task in each.tasks:
        view = views.get(task.get("NodeID", ""))
        if view is None or not work.runs(task):
            continue
        identity = work.container_id(task)
        container = next((one for one in view.containers or [] if one["Id"] == identity), None)
        if container and container.get("ImageID"):
            reference = work.image_of(task.get("Spec", {}))
            image = next((one for one in view.images or [] if one["Id"] == container["ImageID"]), None)
            found.setdefault(reference, {})[view.name] = _content(view, image, container["ImageID"], reference)
    return found


def _parted(contents: Mapping[str, _Content]) -> list[tuple[_Content, list[str]]]:
    """Return the different contents, each with the host names of the nodes that have it, the most frequent first."""
    groups: list[tuple[_Content, list[str]]] = []
    for name, content in contents.items():
        alike = next((names for known, names in groups if not content.differs(known)), None)
        if alike is None:
            groups.append((content, [name]))
        else:
            alike.append(name)
    return sorted(groups, key=lambda group: -len(group[1]))


@by_managers
def images(sight: Sight) -> Iterator[Finding]:
    """Whether nodes run the same content of an image, its name is pinned, and the registry still has it."""
    for view in sight.nodes:
        if not view.active or view.images is None:
            why = view.silent or ("its engine does not list its images" if view.active else "it is not in a swarm")
            mend = "docker images on the node says what its engine lacks"
            yield Finding(Level.UNKNOWN, why, nodes=(view.name,), mend=mend)
    found, used = False, _used(sight)
    for each, views in used:
        for finding in [*_apart(sight, each), *_of_registry(sight, each, views)]:
            found = True
            yield finding
    unpinned = [
        f"{each.name} ({reference})"
        for each, _ in used
        if not parse(reference := work.image_of(work.template(each.service))).digest and not _of_suite(each)
    ]
    if unpinned:
        found = True
        plural = "s" if len(unpinned) > 1 else ""
        summary = f"image{plural} without a digest: {few(unpinned)}"
        risk = "each node runs what the name means there when a task starts, which may change"
        mend = "docker service update --image NAME SERVICE resolves it to a digest, where the registry can be asked"
        yield Finding(Level.INFO, summary, risk, mend=mend)
    if not found:
        yield Finding(Level.OK, f"{len(used)} services")


def _of_suite(each: Work) -> bool:
    return ours(each.name, each.service["Spec"].get("Labels"))


def _apart(sight: Sight, each: Work) -> Iterator[Finding]:
    for reference, contents in _running(sight, each).items():
        parts = _parted(contents)
        if len(parts) < 2:
            continue
        told = few((f"{content} on {few(names)}" for content, names in parts), "; ")
        summary = f"{each.name} runs different content of {reference}: {told}"
        others = tuple(name for _, names in parts[1:] for name in names)
        risk = "its tasks behave differently, and which one answers is chance"
        mend = f"push the image under a new tag; docker service update --force --image NEW {each.name}"
        yield Finding(Level.WARNING, summary, risk, nodes=others, mend=mend)


def _of_registry(sight: Sight, each: Work, views: Sequence[NodeView]) -> Iterator[Finding]:
    reference = work.image_of(work.template(each.service))
    parts = parse(reference)
    answers = {view.name: view.pulls[reference] for view in sight.nodes if reference in view.pulls}
    there = next((answer for answer in answers.values() if answer.kind == THERE), None)
    gone = next((answer for answer in answers.values() if answer.kind == LACKS), None)
    lacking = tuple(view.name for view in views if _lacks(view, reference))
    contents = _running(sight, each).get(reference, {})
    if gone and not there:
        waits = [view.name for view in sight.nodes if view.active and reference in _waiting(sight, view)]
        level = Level.ERROR if waits else Level.WARNING if lacking or parts.digest else Level.INFO
        what = "digest" if parts.digest else "image"
        nodes = f"and {few(lacking)} lack{'s' if len(lacking) == 1 else ''} it too" if lacking else ""
        summary = f"the registry does not have the {what} of {each.name}, {reference} {nodes}".rstrip()
        risk = f"a node without it cannot start the service's tasks ({gone.words})"
        mend = f"push it again, or docker service update --image NAME {each.name}"
        yield Finding(level, summary, risk, nodes=lacking, mend=mend)
    if parts.digest:
        return
    if there and there.digest and contents:
        old = [name for name, content in contents.items() if content.digests and there.digest not in content.digests]
        if old:
            new = there.digest.removeprefix("sha256:")[:12]
            summary = f"{reference} is {new} in the registry now, and {each.name} runs another content of that name"
            risk = "a task that starts anew runs the new content beside the old"
            mend = f"docker service update --image {reference} {each.name} gives all tasks one content"
            yield Finding(Level.WARNING, summary, risk, nodes=tuple(old), mend=mend)
    yield from _named_apart(each, reference, views, contents, bool(there))


def _named_apart(
    each: Work, reference: str, views: Iterable[NodeView], contents: Mapping[str, _Content], pulled: bool
) -> Iterator[Finding]:
    """Yield nodes that have other content under a service's image name than its tasks run elsewhere."""
    idle = {
        view.name: _content(view, entry, entry["Id"], reference)
        for view in views
        if view.name not in contents and (entry := _entry(view, reference))
    }
    others = tuple(name for name, one in idle.items() if contents and all(map(one.differs, contents.values())))
    if others:
        summary = f"{reference} has other content there than the tasks of {each.name} run"
        risk = "a task that moves there runs that content" + (" if the registry cannot be asked then" if pulled else "")
        mend = f"docker pull {reference} on the node, or pin it: docker service update --image {reference} {each.name}"
        yield Finding(Level.INFO if pulled else Level.WARNING, summary, risk, nodes=others, mend=mend)


# Registries


@by_managers
def registries(sight: Sight) -> Iterator[Finding]:
    """Whether the nodes can ask the registries from which they may have to pull."""
    answers: dict[str, dict[str, Pull]] = {}
    for view in sight.nodes:
        for reference, answer in view.pulls.items():
            answers.setdefault(parse(reference).registry, {})[view.name] = answer
    found = False
    for registry, by_node in answers.items():
        silent = {name: answer for name, answer in by_node.items() if answer.kind in (UNREACHED, LIMITED)}
        for finding in _unreached(sight, registry, silent, [name for name in by_node if name not in silent]):
            found = True
            yield finding
    if not found:
        listed = [f"{registry} from {few(by_node)}" for registry, by_node in answers.items()]
        yield Finding(Level.OK, few(listed, "; ") or "no service needs one")


def _unreached(sight: Sight, registry: str, silent: Mapping[str, Pull], reached: Sequence[str]) -> Iterator[Finding]:
    used = [
        (each, reference, views)
        for each, views in _used(sight)
        if parse(reference := work.image_of(work.template(each.service))).registry == registry
    ]
    lacking = {view.name for _, reference, views in used for view in views if _lacks(view, reference)}
    for name, answer in silent.items():
        mend = f"open the way from the node to {registry} (name, port, proxy, insecure-registries), and try docker pull"
        if answer.kind == LIMITED:
            services = [each.name for each, reference, views in used if any(_lacks(view, reference) for view in views)]
            mend = more_requests(registry, services or ["SERVICE"])
        view = next(view for view in sight.nodes if view.name == name)
        waits = [one for one in _waiting(sight, view) if parse(one).registry == registry]
        waits = [one for one in waits if _lacks(view, one)]
        others = f", {few(reached)} can" if reached else ""
        summary = f"it cannot ask the registry {registry}{others}: {answer.words}"
        if answer.kind == LIMITED:
            summary = f"the registry {registry} takes no more requests from it for now{others}: {answer.words}"
        if waits:
            risk = f"its tasks wait for {few(dict.fromkeys(waits))}"
            yield Finding(Level.ERROR, summary, risk, nodes=(name,), mend=mend)
        elif reached or name in lacking:
            risk = "a task whose image it lacks does not start there"
            yield Finding(Level.WARNING, summary, risk, nodes=(name,), mend=mend)
        else:
            risk = "it has the images of today's services; new ones cannot be pulled"
            yield Finding(Level.INFO, summary, risk, nodes=(name,), mend=mend)
