"""Folders of files as documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from nudge_integrations.errors import DataError
from nudge_integrations.relevance.documents import documents_at


def test_a_folder_is_read_file_by_file_and_passage_by_passage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config.txt").write_text("hidden")
    (tmp_path / "a.md").write_text("# Title\n\nshort one\n\n" + "x" * 990 + "\n\nlast\x1b[31m")
    (tmp_path / "sub" / "b.html").write_text(
        "<head><title>t</title></head><style>no</style><p>one</p><script>no</script><p>two &amp; 3"
    )
    (tmp_path / "c.bin").write_bytes(b"\x00\x01\x02\xff" * 100)

    found = documents_at(tmp_path)

    assert list(found) == ["a.md#1", "a.md#2", "a.md#3", "sub/b.html#1"] or list(found)[:2] == [
        "a.md#1",
        "a.md#2",
    ]
    assert found["a.md#1"] == "# Title\n\nshort one"
    assert "\x1b" not in "".join(found.values())
    assert found["sub/b.html#1"] == "one\n\ntwo & 3"
    assert "1 files cannot be read and are left out: 'c.bin'" in caplog.text
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no text"):
        documents_at(tmp_path / "none")


def test_one_file_is_read_as_a_folder_of_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("one\n\n" + "x" * 999)
    assert list(documents_at(tmp_path / "notes.txt")) == ["notes.txt#1", "notes.txt#2"]
    with pytest.raises(DataError, match=r"gone\.md"):
        documents_at(tmp_path / "gone.md")
