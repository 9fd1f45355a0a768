"""All machines with their tasks and true stories."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from proving.machine import Machine
from proving.machines import duplicates, histogram, induction, layered, maximum, movers, previous
from proving.story import Story
from proving.task import Task
from proving.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A machine, what it is asked, and what it truly does.

    `exact`: without noise and with all attention in one place, so that the story is exactly true.
    """

    name: str
    world: World
    story: Story
    exact: bool = False


@cache
def catalogue() -> tuple[Entry, ...]:
    """Every machine of the proving ground."""
    return (
        _entry(previous.machine(noise=0.04), previous.task(), previous.story()),
        _entry(duplicates.machine(noise=0.02), duplicates.task(), duplicates.story()),
        _entry(maximum.machine(noise=0.01), maximum.task(), maximum.story()),
        _entry(histogram.machine(noise=0.002), histogram.task(), histogram.story()),
        _entry(induction.machine(noise=0.04), induction.task(), induction.story()),
        _entry(
            induction.machine(norm=True, noise=0.02, name="induction_norm"),
            induction.task(),
            induction.story(),
        ),
        _entry(
            induction.machine(hard=10.0, name="induction_exact"),
            induction.task(),
            induction.story(),
            exact=True,
        ),
        _entry(movers.machine(noise=0.02), movers.task(), movers.story()),
        _entry(
            movers.machine(norm=True, mlps=True, noise=0.01, name="movers_gpt2"),
            movers.task(),
            movers.story(mlps=True),
        ),
        _entry(layered.machine(noise=0.01), layered.task(), layered.story()),
        _entry(
            layered.machine(norm=True, noise=0.005, name="layered_norm"),
            layered.task(),
            layered.story(),
        ),
    )


def _entry(machine: Machine, task: Task, story: Story, *, exact: bool = False) -> Entry:
    world = World(machine=machine, task=task)
    return Entry(name=machine.name, world=world, story=story, exact=exact)
