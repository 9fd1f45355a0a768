"""All machines with their tasks and true stories."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from proving.machines import induction, movers
from proving.story import Story
from proving.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A machine, what it is asked, and what it truly does."""

    name: str
    world: World
    story: Story


@cache
def catalogue() -> tuple[Entry, ...]:
    """Every machine of the proving ground."""
    return (
        Entry(
            name="induction",
            world=World(machine=induction.machine(noise=0.04), task=induction.task()),
            story=induction.story(),
        ),
        Entry(
            name="movers",
            world=World(machine=movers.machine(noise=0.02), task=movers.task()),
            story=movers.story(),
        ),
    )
