"""What is rehearsed: the path over engines, the cluster's shape, and the order in which nodes are upgraded."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from swarmlab.errors import UsageError
from swarmlab.images.engines import EngineChoice, engine_choice, known_engines
from swarmlab.rehearsal.likeness import Likeness

#: The words of an order beside host names: what each stands for is known when the cluster is.
WORDS = ("leader", "managers", "workers")
#: Managers that do not lead first, as every change of leader costs a moment; workers follow their managers.
ORDER = "managers,leader,workers"


@dataclass(frozen=True)
class Plan:
    """A rehearsal as it was asked for.

    Attributes:
        path: the engines, the first of which is what the cluster has to begin with; the oldest of them where its nodes
            begin with several.
        order: `WORDS` and host names.
        managers: how many of the nodes are managers.
        workers: how many are workers.
        likeness: the swarm that the cluster is like; None for the rehearsal's own.
        reboot: each node's operating system is restarted with its new engine.
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
        """A plan from the words of options.

        Args:
            path: engines by version or Debian suite, separated by commas, the present one first.
            order: see `Plan`, separated by commas.
            managers: see `Plan`.
            workers: see `Plan`.
            likeness: see `Plan`; the number of managers and of workers is then its.
            reboot: see `Plan`.

        Raises:
            UsageError: what cannot be.
        """
        engines = tuple(engine_choice(name) for name in path.split(",") if name)
        if len(engines) < 2:
            raise UsageError(f"an upgrade leads from one engine to another, and {path!r} names {len(engines)}")
        for before, after in itertools.pairwise(engines):
            if before == after:
                raise UsageError(f"an upgrade leads from one engine to another, and not from {before} to itself")
            if before.numbers > after.numbers:
                raise UsageError(f"{before} to {after} is no upgrade; how one goes back is judged in every rehearsal")
        if likeness:
            managers, workers = likeness.managers, likeness.workers
        words = tuple(word for word in order.split(",") if word)
        if len(set(words)) < len(words):
            raise UsageError(f"--order {order} names something twice")
        # Of two nodes one has all replicas when the other is back, and nobody spreads them: draining it loses requests.
        if managers < 1 or workers < 0 or not 3 <= managers + workers <= 10:
            words_of = f"{managers} managers and {workers} workers"
            raise UsageError(f"a rehearsal has 3 to 10 nodes, and a manager at least, not {words_of}")
        plan = cls(engines, words, managers, workers, likeness, reboot)
        if likeness:
            if engines[0] != likeness.oldest:
                raise UsageError(f"the path begins with {engines[0]}, and the swarm with {likeness.oldest}")
            for name, host in likeness.hosts().items():
                if plan.start(host).numbers > engines[-1].numbers:
                    raise UsageError(f"{name} has {plan.start(host)} already, which is newer than {engines[-1]}")
        return plan

    @property
    def nodes(self) -> int:
        """How many nodes the cluster has."""
        return self.managers + self.workers

    @property
    def steps(self) -> int:
        """How many times a node is given another engine."""
        return sum(self._rounds())

    def start(self, host: str) -> EngineChoice:
        """The engine that the node of this host name begins with."""
        return self.likeness.start[host] if self.likeness else self.path[0]

    @property
    def beginning(self) -> str:
        """What the cluster begins with, in words."""
        return " and ".join(map(str, sorted(set(self._starts()), key=lambda choice: choice.numbers)))

    def engine(self, step: int) -> EngineChoice:
        """The engine that a node is given in this step; the first step is 1."""
        return self.turn(step)[0]

    def turn(self, step: int) -> tuple[EngineChoice, int]:
        """The engine that a node is given in this step, and its place among those that are given it, from 0."""
        if not 1 <= step <= self.steps:
            raise ValueError(f"there are {self.steps} steps, and no step {step}")
        nth, done = self._round(step - 1)
        return self.path[1 + nth], done

    def given(self, engine: EngineChoice, queue: list[str]) -> list[str]:
        """Those of the host names whose nodes are given this engine: all but those that begin with it, or a newer."""
        return [host for host in queue if self.start(host).numbers < engine.numbers]

    def is_mixed(self, done: int) -> bool:
        """Whether nodes have different engines when so many steps are done."""
        nth, left = self._round(done)
        reached = self.path[nth].numbers
        return bool(left) or len({max(reached, start.numbers) for start in self._starts()}) > 1

    def _starts(self) -> list[EngineChoice]:
        return list(self.likeness.start.values()) if self.likeness else [self.path[0]] * self.nodes

    def _rounds(self) -> list[int]:
        """How many nodes are given each engine after the first."""
        return [sum(start.numbers < to.numbers for start in self._starts()) for to in self.path[1:]]

    def _round(self, done: int) -> tuple[int, int]:
        """The round that follows so many steps, from 0, and how many steps of it are done."""
        rounds = self._rounds()
        for nth, count in enumerate(rounds):
            if done < count:
                return nth, done
            done -= count
        return len(rounds), 0

    def stage(self, done: int) -> str:
        """What the state after so many steps is called."""
        if done in (0, self.steps):
            return "after" if done else "before"
        return f"step{done}"

    def queue(self, roles: Mapping[str, str], leader: str) -> list[str]:
        """The host names in the order of this plan.

        A word stands for the nodes that no other word of the order names more closely.

        Args:
            roles: role by host name.
            leader: host name of the leader.

        Raises:
            UsageError: the order names a node that there is not, or leaves one out.
        """
        named = {word for word in self.order if word not in WORDS} | ({leader} if "leader" in self.order else set())
        if unknown := [word for word in self.order if word not in WORDS and word not in roles]:
            raise UsageError(f"--order names {unknown[0]}; it takes {', '.join([*WORDS, *roles])}")
        queue: list[str] = []
        for word in self.order:
            if word == "leader":
                # A node that is named by its own name too has its turn there.
                queue += [leader] if leader not in self.order else []
            elif word in WORDS:
                queue += sorted(name for name, role in roles.items() if f"{role}s" == word and name not in named)
            else:
                queue.append(word)
        if left := [name for name in roles if name not in queue]:
            raise UsageError(f"--order {','.join(self.order)} leaves {', '.join(left)} out")
        return queue


def newest() -> EngineChoice:
    """The newest engine that can be had."""
    return max(known_engines().values(), key=lambda choice: choice.numbers)
