"""A state machine against a dictionary: no original is lost, whatever happens in whatever order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backends import Backend, Chroma, Lance, LangChainMemory, LlamaIndexMemory, Postgres
from histories import COUNT, History, random_history
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

KINDS = [LangChainMemory, LlamaIndexMemory, Chroma, Lance, Postgres]
ROWS = st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=COUNT, unique=True)
KILLS = st.none() | st.integers(0, 9)


@pytest.mark.parametrize("used", KINDS, ids=[kind.name for kind in KINDS])
def test_no_order_of_events_loses_an_original(
    used: type[Backend], make: Callable[..., Backend]
) -> None:
    make(used)  # starts the server, where there is one

    class Machine(RuleBasedStateMachine):
        history: History

        @initialize(seed=st.integers(0, 1000))
        def begin(self, seed: int) -> None:
            folder = Path(tempfile.mkdtemp())
            self.backend = used(folder, used.metrics[0])
            self.history = History(self.backend, seed)

        @rule(rows=ROWS)
        def plan(self, rows: list[int]) -> None:
            self.history.plan(rows)

        @rule(kill=KILLS)
        def apply(self, kill: int | None) -> None:
            self.history.apply(kill)

        @rule(undo=st.booleans(), kill=KILLS)
        def recover(self, undo: bool, kill: int | None) -> None:
            self.history.recover(undo, kill)

        @rule(kill=KILLS)
        def revert(self, kill: int | None) -> None:
            self.history.revert(kill)

        @rule(row=st.integers(0, COUNT - 1))
        def write(self, row: int) -> None:
            self.history.write(row)

        @rule(row=st.integers(0, COUNT - 1))
        def delete(self, row: int) -> None:
            self.history.delete(row)

        @rule()
        def save(self) -> None:
            self.history.save()

        @rule()
        def restore(self) -> None:
            self.history.restore()

        def teardown(self) -> None:
            if hasattr(self, "history"):
                self.history.finish()
                self.backend.close()

    quick = settings(
        max_examples=60 if "memory" in used.name else 12,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(Machine, settings=quick)


@pytest.mark.parametrize("seed", range(60))
def test_random_histories_in_memory(seed: int, make: Callable[..., Any]) -> None:
    assert random_history(make(LangChainMemory), seed).lost == 0
