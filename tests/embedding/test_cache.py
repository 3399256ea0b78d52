from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nudge_integrations.common import sqlite
from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding import cache as cache_module
from nudge_integrations.embedding.cache import FILE_NAME, VectorCache, cache_folder
from nudge_integrations.errors import CorruptFileError, NudgeError

HASHES = [text_hash(text) for text in ("a", "b", "c")]
VECTORS = np.arange(1, 13, dtype=np.float32).reshape(3, 4)


def stored(cache: VectorCache, kind: str, hashes: list[str]) -> dict[int, bytes]:
    return {
        int(position): vector.tobytes()
        for positions, vectors in cache.read(kind, hashes)
        for position, vector in zip(positions, vectors, strict=True)
    }


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    with VectorCache(tmp_path, "model") as cache:
        cache.write("document", HASHES, VECTORS)
    return tmp_path


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.integers(1, 9)),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    )
)
def test_vectors_come_back_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    hashes = [text_hash(str(row)) for row in range(len(vectors))]
    with VectorCache(folder, "model") as cache:
        cache.write("query", hashes, vectors)
    with VectorCache(folder, "model") as cache:
        expected = {row: vector.tobytes() for row, vector in enumerate(vectors)}
        assert stored(cache, "query", hashes) == expected


def test_more_texts_than_one_statement_takes_are_looked_up(tmp_path: Path) -> None:
    hashes = [text_hash(str(row)) for row in range(1203)]
    vectors = np.arange(1203, dtype=np.float32).reshape(-1, 1)
    with VectorCache(tmp_path, "model") as cache:
        cache.write("query", hashes[::2], vectors[::2])
        assert stored(cache, "query", hashes) == {
            row: vectors[row].tobytes() for row in range(0, 1203, 2)
        }


def test_models_and_kinds_are_kept_apart(filled: Path) -> None:
    with VectorCache(filled, "model") as cache:
        assert stored(cache, "query", HASHES) == {}
    with VectorCache(filled, "other model") as cache:
        assert stored(cache, "document", HASHES) == {}


def test_what_was_just_written_is_read(filled: Path) -> None:
    with VectorCache(filled, "model") as cache:
        for row in range(3):
            cache.write("query", HASHES[row : row + 1], VECTORS[row : row + 1])
        assert set(stored(cache, "query", HASHES)) == {0, 1, 2}


def test_the_file_says_which_layout_it_has(filled: Path) -> None:
    connection = sqlite3.connect(filled / FILE_NAME)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_writing_again_replaces(filled: Path) -> None:
    with VectorCache(filled, "model") as cache:
        cache.write("document", HASHES[:1], -VECTORS[:1])
        assert stored(cache, "document", HASHES[:1]) == {0: (-VECTORS[0]).tobytes()}


def test_a_slow_model_is_committed_call_by_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(cache_module.time, "monotonic", lambda: now)
    with VectorCache(tmp_path, "model") as cache, VectorCache(tmp_path, "model") as other:
        for row, passed in enumerate((0.0, 0.3, 0.1)):
            now += passed
            cache.write("query", HASHES[row : row + 1], VECTORS[row : row + 1])
        assert set(stored(other, "query", HASHES)) == {0, 1}
        now += 0.2
        cache.write("query", [text_hash("d")], VECTORS[:1])
        assert set(stored(other, "query", HASHES)) == {0, 1, 2}


def test_what_a_failed_run_had_is_committed(tmp_path: Path) -> None:
    def interrupted() -> None:
        with VectorCache(tmp_path, "model") as cache:
            for row in range(3):
                cache.write("query", HASHES[row : row + 1], VECTORS[row : row + 1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with VectorCache(tmp_path, "model") as cache:
        assert set(stored(cache, "query", HASHES)) == {0, 1, 2}


def test_only_one_file_is_left_behind(filled: Path) -> None:
    assert [path.name for path in filled.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("damage", ["not a database", "cut", "scribbled"])
def test_a_damaged_file_is_named_with_the_remedy(filled: Path, damage: str) -> None:
    path = filled / FILE_NAME
    content = path.read_bytes()
    path.write_bytes(
        {
            "not a database": b"hello " * 1000,
            "cut": content[:6000],
            "scribbled": content[:4096] + b"\xff" * (len(content) - 4096),
        }[damage]
    )
    with (
        pytest.raises(CorruptFileError, match=rf"{FILE_NAME}.*delete it"),
        VectorCache(filled, "model") as cache,
    ):
        stored(cache, "document", HASHES)


@pytest.mark.parametrize(
    ("blob", "said"),
    [(b"", "lengths"), (b"12345", "lengths"), (b"\0" * 4, "lengths"), (b"\xff" * 16, "NaN")],
    ids=["empty", "no-float32", "shorter", "nan"],
)
def test_an_edited_vector_is_refused(filled: Path, blob: bytes, said: str) -> None:
    connection = sqlite3.connect(filled / FILE_NAME)
    with connection:
        connection.execute(
            "UPDATE vectors SET vector = ? WHERE text = ?", (blob, bytes.fromhex(HASHES[1]))
        )
    connection.close()
    with VectorCache(filled, "model") as cache, pytest.raises(CorruptFileError, match=said):
        stored(cache, "document", HASHES)


def test_another_layout_is_refused(filled: Path) -> None:
    connection = sqlite3.connect(filled / FILE_NAME)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(CorruptFileError, match=r"layout version 7.*reads version 1"):
        VectorCache(filled, "model")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NudgeError, match=r"cannot keep vectors in .*file.*cache=False"):
        VectorCache(tmp_path / "file", "model")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(NudgeError, match=r"cannot keep vectors in .*cache=False"):
        VectorCache(tmp_path, "model")


def test_a_file_that_another_process_holds_is_named(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(filled / FILE_NAME)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(NudgeError, match="locked"):
        VectorCache(filled, "model")
    holder.close()


WRITER = """
import sys
from pathlib import Path
import numpy as np
from nudge_integrations.embedding.cache import VectorCache
from nudge_integrations.common.files import text_hash
with VectorCache(Path(sys.argv[1]), "model") as cache:
    for row in range(int(sys.argv[2]), 200, 2):
        cache.write("query", [text_hash(str(row))], np.full((1, 3), row + 1, np.float32))
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(half)], cwd=root)
        for half in (0, 1)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    with VectorCache(tmp_path, "model") as cache:
        assert stored(cache, "query", [text_hash(str(row)) for row in range(200)]) == {
            row: np.full(3, row + 1, np.float32).tobytes() for row in range(200)
        }


def test_no_cache_has_no_folder() -> None:
    assert cache_folder(False) is None
    assert cache_folder(None) is None


def test_a_path_chooses_the_folder(tmp_path: Path) -> None:
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("platform", "variable"), [("linux", "XDG_CACHE_HOME"), ("win32", "LOCALAPPDATA")]
)
def test_the_default_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache_dir: Path, platform: str, variable: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path / "platform"))
    assert cache_folder(True) == cache_dir
    monkeypatch.setenv("NUDGE_CACHE_DIR", "")
    assert cache_folder(True) == tmp_path / "platform" / "nudge-integrations"
    monkeypatch.delenv(variable)
    assert cache_folder(True) == Path.home() / ".cache" / "nudge-integrations"
