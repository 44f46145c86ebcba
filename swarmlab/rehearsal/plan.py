"""The plan of a rehearsal: the path of engines, the shape of the cluster, and the order of its nodes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.images.engines import EngineChoice, engine_choice, known_engines, split
from swarmlab.rehearsal.likeness.model import MOST_NODES, Likeness

#: What an order may name beside hosts. Which nodes these are is known only once the cluster runs.
GROUPS = ("leader", "managers", "workers")
#: The leader is the last manager, because every change of leader interrupts; workers follow their managers.
ORDER = "managers,leader,workers"
#: Version of the layouts of decision.json and rehearsal.json.
SCHEMA = 1


@dataclass(frozen=True)
class Plan:
    """The plan of a rehearsal.

    Attributes:
        path: The engines in order. The first is the engine at the start; the oldest if nodes start with several.
        order: `GROUPS` and host names.
        managers: Number of managers.
        workers: Number of workers.
        likeness: The swarm that the cluster is a copy of; None for the rehearsal's own cluster.
        reboot: Whether each node's operating system is restarted with its new engine.
    """

    path: tuple[EngineChoice, ...]
    order: tuple[str, ...]
    managers: int = 3
    workers: int = 1
    likeness: Likeness | None = None
    reboot: bool = False

    @classmethod
    def read(
        cls,
        path: str,
        order: str = ORDER,
        managers: int = 3,
        workers: int = 1,
        likeness: Likeness | None = None,
        *,
        reboot: bool = False,
    ) -> Plan:
        """Return the plan that options describe.

        Args:
            path: Engines by version or Debian release, separated by commas, the present one first.
            order: See `Plan`; separated by commas.
            managers: See `Plan`.
            workers: See `Plan`.
            likeness: See `Plan`. It sets the number of managers and workers.
            reboot: See `Plan`.

        Raises:
            UsageError: The options do not make a possible rehearsal.

        Example:
            >>> Plan.read("20.10.24,28.5.2", "managers,leader,workers").steps
            4
        """
        engines = tuple(engine_choice(name) for name in split(path, "--path"))
        if len(engines) < 2:
            raise UsageError(f"an upgrade needs at least two engines, and {path!r} names {len(engines)}")
        for before, after in itertools.pairwise(engines):
            if before.numbers == after.numbers:
                raise UsageError(f"{before} to {after} is no upgrade; name an engine of another version")
            if before.numbers > after.numbers:
                raise UsageError(f"{before} to {after} is no upgrade; every rehearsal also judges the way back")
        if likeness:
            managers, workers = likeness.managers, likeness.workers
        names = tuple(name.strip() for name in order.split(","))
        if not all(names):
            raise UsageError(f"--order {shown(order)}: has an empty part; write NAME,NAME without one")
        if len(set(names)) < len(names):
            raise UsageError(f"--order {order} names a node or group twice")
        # With two nodes, draining a node moves all replicas to the other node, and Swarm never spreads them again. When
        # the other node is drained later, requests are lost.
        if managers < 1 or workers < 0 or not 3 <= managers + workers <= MOST_NODES:
            shape = f"{managers} managers and {workers} workers"
            raise UsageError(f"a rehearsal has 3 to {MOST_NODES} nodes, at least one a manager, not {shape}")
        plan = cls(engines, names, managers, workers, likeness, reboot)
        if likeness:
            if engines[0].numbers != likeness.oldest.numbers:
                raise UsageError(f"the path begins with {engines[0]}, and the swarm with {likeness.oldest}")
            for name, host in likeness.hosts().items():
                if plan.start(host).numbers > engines[-1].numbers:
                    raise UsageError(f"{name} has {plan.start(host)} already, which is newer than {engines[-1]}")
        return plan

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.managers + self.workers

    @property
    def steps(self) -> int:
        """Number of steps: in each, one node gets another engine."""
        return sum(self._rounds())

    def start(self, host: str) -> EngineChoice:
        """Return the engine that a node starts with, by its host name."""
        return self.likeness.start[host] if self.likeness else self.path[0]

    @property
    def beginning(self) -> str:
        """The engines that the cluster starts with, for messages."""
        return " and ".join(map(str, sorted(set(self._starts()), key=lambda choice: choice.numbers)))

    def engine(self, step: int) -> EngineChoice:
        """Return the engine that a node gets in a step. The first step is 1."""
        return self.turn(step)[0]

    def turn(self, step: int) -> tuple[EngineChoice, int]:
        """Return the engine that a node gets in a step, and the number of nodes that got it before in this round."""
        if not 1 <= step <= self.steps:
            raise ValueError(f"there are {self.steps} steps, and no step {step}")
        nth, done = self._round(step - 1)
        return self.path[1 + nth], done

    def given(self, engine: EngineChoice, queue: list[str]) -> list[str]:
        """Return the hosts of *queue* that get this engine: all that do not start with it or a newer one."""
        return [host for host in queue if self.start(host).numbers < engine.numbers]

    def is_mixed(self, done: int) -> bool:
        """Whether nodes have different engines after *done* steps."""
        nth, left = self._round(done)
        reached = self.path[nth].numbers
        return bool(left) or len({max(reached, start.numbers) for start in self._starts()}) > 1

    def _starts(self) -> list[EngineChoice]:
        return list(self.likeness.start.values()) if self.likeness else [self.path[0]] * self.nodes

    def _rounds(self) -> list[int]:
        """Return how many nodes get each engine of the path after the first."""
        return [sum(start.numbers < to.numbers for start in self._starts()) for to in self.path[1:]]

    def _round(self, done: int) -> tuple[int, int]:
        """Return the round (from 0) that is under way after *done* steps, and the steps done in it."""
        rounds = self._rounds()
        for nth, count in enumerate(rounds):
            if done < count:
                return nth, done
            done -= count
        return len(rounds), 0

    def stage(self, done: int) -> str:
        """Return the name of the stage after *done* steps: before, step1, step2 and so on, after."""
        if done in (0, self.steps):
            return "after" if done else "before"
        return f"step{done}"

    def queue(self, roles: Mapping[str, str], leader: str) -> list[str]:
        """Return the host names in the order of this plan.

        A group stands for those of its nodes that the order does not name otherwise.

        Args:
            roles: Role by host name.
            leader: Host name of the leader.

        Raises:
            UsageError: The order names an unknown node, or leaves one out.
        """
        named = {name for name in self.order if name not in GROUPS} | ({leader} if "leader" in self.order else set())
        if unknown := [name for name in self.order if name not in GROUPS and name not in roles]:
            raise UsageError(f"--order names {unknown[0]}; it takes {', '.join([*GROUPS, *roles])}")
        queue: list[str] = []
        for name in self.order:
            if name == "leader":
                # A leader that is also named by its host name has its turn there.
                queue += [leader] if leader not in self.order else []
            elif name in GROUPS:
                queue += sorted(host for host, role in roles.items() if f"{role}s" == name and host not in named)
            else:
                queue.append(name)
        if left := [name for name in roles if name not in queue]:
            raise UsageError(f"--order {','.join(self.order)} leaves {', '.join(left)} out")
        return queue


def newest() -> EngineChoice:
    """Return the newest of Debian's engines."""
    return max(known_engines().values(), key=lambda choice: choice.numbers)
