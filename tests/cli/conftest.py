from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cli_fakes import WordEncoder, write_beir

from nudge_integrations.cli import main
from nudge_integrations.embedding import embedder


@dataclass
class Outcome:
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@dataclass
class Models:
    """The models that commands load by name, all of them fake."""

    seen: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)
    on_call: Callable[[list[str]], Any] = lambda texts: None

    def load(self, name: str, **options: Any) -> WordEncoder:
        self.names.append(name)
        self.options.append(options)
        return WordEncoder(name, self.seen, lambda texts: self.on_call(texts))


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a default cache folder of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NUDGE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    fakes = Models()
    monkeypatch.setattr(embedder, "as_encoder", fakes.load)
    return fakes


@pytest.fixture
def nudge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command in this process, in a terminal 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """Training, dev and test questions over a dozen documents."""
    return write_beir(tmp_path / "data", "train", "dev", "test")


@pytest.fixture
def fitted(nudge: Any, models: Models, beir: Path, tmp_path: Path) -> Path:
    """The folder of a run over `beir`."""
    # So few documents crowd each other: by default, the estimate for unseen questions stops it.
    outcome = nudge("fit", "--beir", beir, "--out", tmp_path / "tuned", "--protect-unseen", 1)
    assert outcome.code == 0, outcome.err
    return tmp_path / "tuned"
