"""The table that newcomers' mistakes are written into, and the one way in which each is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import World, planted

from nudge_integrations import RelevanceDataset


@dataclass
class Desk:
    """What somebody who makes a mistake has before them."""

    side: Any
    world: World
    folder: Path
    model: Any

    @classmethod
    def of(cls, side: Any, folder: Path) -> Desk:
        world = planted(documents=8, questions=2)
        return cls(side, world, folder, side.model(world))

    @property
    def data(self) -> RelevanceDataset:
        return self.world.data

    def engine(
        self, train: Any = None, documents: Any = ..., model: Any = None, **more: Any
    ) -> Any:
        return self.side.engine(
            self.data if train is None else train,
            self.model if model is None else model,
            self.side.documents(self.data.corpus) if documents is ... else documents,
            **more,
        )

    def finetuned(self, **options: Any) -> Any:
        """An engine that has run; what it embedded is no part of the mistake."""
        engine = self.engine(**options)
        engine.finetune()
        self.model.asked.clear()
        return engine

    def files(self) -> list[str]:
        return sorted(str(path) for path in self.folder.rglob("*"))


@dataclass(frozen=True)
class Mistake:
    """A mistake, and what its message must say."""

    make: Callable[[Desk], object]
    error: type[Exception]
    names: str
    remedy: str
    before: Callable[[Desk], object] | None

    @property
    def title(self) -> str:
        return self.make.__name__.replace("_", " ")


@dataclass
class Table:
    """Mistakes in the order in which they were written down."""

    mistakes: list[Mistake] = field(default_factory=list)

    def __call__(
        self,
        error: type[Exception],
        *,
        names: str,
        remedy: str,
        before: Callable[[Desk], object] | None = None,
    ) -> Callable[[Callable[[Desk], object]], Callable[[Desk], object]]:
        """Write a mistake down.

        Args:
            error: The type of the exception, exactly.
            names: What the message calls the offending thing by.
            remedy: What it says to do.
            before: What was there before, such as files.
        """

        def written(make: Callable[[Desk], object]) -> Callable[[Desk], object]:
            self.mistakes.append(Mistake(make, error, names, remedy, before))
            return make

        return written

    def each(self) -> Any:
        """The parametrisation over all of them."""
        return pytest.mark.parametrize("mistake", self.mistakes, ids=lambda each: each.title)


def check(mistake: Mistake, desk: Desk) -> None:
    """Make the mistake: one clear error, and nothing embedded or written before it."""
    if mistake.before is not None:
        mistake.before(desk)
    files = desk.files()
    desk.model.asked.clear()

    with pytest.raises(Exception) as caught:
        mistake.make(desk)

    assert type(caught.value) is mistake.error, repr(caught.value)
    message = str(caught.value)
    here = {
        "model": desk.side.model_argument,
        "documents": desk.side.documents_argument,
        "folder": desk.folder,
        "class": type(desk.model).__name__,
    }
    assert mistake.names.format(**here) in message, message
    assert mistake.remedy.format(**here) in message, message
    assert desk.model.asked == []
    assert desk.files() == files
