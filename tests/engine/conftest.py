"""The executors under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from .executors import EXECUTORS


@pytest.fixture(scope="session", params=EXECUTORS)
def make_engine(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The constructor of an executor."""
    return EXECUTORS[request.param]


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on two threads than on one, on a busy machine by far."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
