"""Saving and loading: bit for bit, atomic, checked; a reader finds the old state or the new one."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from nudge_integrations.common.files import (
    header_of,
    load_arrays,
    save_arrays,
    sha256,
    text_hash,
    write_atomically,
)
from nudge_integrations.errors import CorruptFileError, NudgeError

KIND, VERSION = "test state", 3
OLD, NEW = {"name": "old"}, {"name": "new"}
OLD_ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
NEW_ARRAYS = {"a": np.arange(8, dtype=np.float32).reshape(2, 4)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.safetensors"


def save(path: Path, manifest: Any = OLD, arrays: Any = OLD_ARRAYS) -> None:
    save_arrays(path, KIND, VERSION, manifest, arrays)


def load(path: Path) -> tuple[Any, Any]:
    return load_arrays(path, KIND, VERSION)


def holds(path: Path, manifest: Any, arrays: Any) -> bool:
    found, matrices = load(path)
    return found == manifest and all(
        matrices[name].tobytes() == array.tobytes() for name, array in arrays.items()
    )


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


# --- Round trip -------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates too: texts out of broken PDFs hold them.
    | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
ARRAYS = st.dictionaries(
    st.text("abcdef_", min_size=1, max_size=6),
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64]),
        hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4),
    ),
    max_size=3,
)


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=3), ARRAYS)
def test_whatever_is_saved_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, manifest: dict[str, Any], arrays: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("files") / "state.safetensors"

    save(path, manifest, arrays)
    found, matrices = load(path)

    assert found == manifest
    assert list(found) == list(manifest), "the order of keys can carry meaning"
    assert matrices.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (matrices[name].dtype, matrices[name].shape) == (array.dtype, array.shape)
        assert matrices[name].tobytes() == array.tobytes()


def test_arrays_in_any_memory_order_come_back_by_value(path: Path) -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)

    save(path, {}, {"turned": matrix.T, "every_other": matrix[:, ::2]})

    _, arrays = load(path)
    np.testing.assert_array_equal(arrays["turned"], matrix.T)
    np.testing.assert_array_equal(arrays["every_other"], matrix[:, ::2])


def test_what_was_saved_is_one_safetensors_file_whose_header_says_what_it_is(path: Path) -> None:
    save(path)

    assert names(path) == ["state.safetensors"]
    np.testing.assert_array_equal(load_file(path)["a"], OLD_ARRAYS["a"])
    header = header_of(path.read_bytes()[:400])
    assert (header["kind"], header["version"]) == (KIND, VERSION)
    assert header_of(b"") == header_of(b"{}") == header_of(b"\x02\0\0\0\0\0\0\0{}") == {}


def test_the_same_state_saved_twice_is_the_same_bytes(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "state.safetensors"

    save(path)
    save(other)

    assert set(names(path)) - set(names(other)) == {"other"}
    for name in names(other):
        assert (path.parent / name).read_bytes() == (other.parent / name).read_bytes()


def test_the_folder_is_made_if_need_be(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "state.safetensors"

    save(deep)

    assert holds(deep, OLD, OLD_ARRAYS)


# --- The files themselves ---------------------------------------------------------------------


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    before = os.umask(0o022)
    os.umask(before)
    yield lambda mask: os.umask(mask) and None
    os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_can_be_read_by_those_whom_the_umask_allows(
    mask: int, mode: int, path: Path, umask: Callable[[int], None]
) -> None:
    umask(mask)

    save(path)

    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {mode}


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_nothing_but_a_regular_file_is_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "there"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/null")

    with pytest.raises(NudgeError, match="not a regular file"):
        write_atomically(path, b"bytes")

    assert not path.is_file()
    assert names(path) == ["there"]


# --- Atomicity --------------------------------------------------------------------------------


class Killed(BaseException):
    """As little to be caught as a kill."""


def test_a_save_that_is_killed_leaves_the_older_state_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path)

    def kill(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(Path, "replace", kill)
    with pytest.raises(Killed):
        save(path, NEW, NEW_ARRAYS)

    assert holds(path, OLD, OLD_ARRAYS)
    assert names(path) == ["state.safetensors"]


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_a_full_disk_is_one_clear_error_and_leaves_the_older_state_whole(
    call: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path)
    before = names(path)
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_: Any, **__: Any) -> Any:
        raise full

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", refuse)
    else:
        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NudgeError) as caught:
        save(path, NEW, NEW_ARRAYS)
    monkeypatch.undo()

    assert type(caught.value) is NudgeError
    assert "No space left on device" in str(caught.value)
    assert str(path.parent) in str(caught.value)
    assert "choose a folder" in str(caught.value)
    assert names(path) == before
    assert holds(path, OLD, OLD_ARRAYS)


def test_bytes_are_on_the_disk_before_they_get_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1]
    )

    write_atomically(tmp_path / "file", b"bytes")

    assert events == ["sync", "rename"]
    assert (tmp_path / "file").read_bytes() == b"bytes"


@pytest.mark.parametrize("name", ["n" * 255, "\u65e5" * 85], ids=["ASCII", "three bytes each"])
def test_a_file_name_of_the_greatest_length_can_be_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / name

    write_atomically(path, b"bytes")

    assert path.read_bytes() == b"bytes"


def test_a_path_below_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(NudgeError) as caught:
        save(tmp_path / "file" / "state.safetensors")

    assert type(caught.value) is NudgeError
    assert str(tmp_path / "file") in str(caught.value)
    assert "choose a folder" in str(caught.value)
    assert (tmp_path / "file").read_text() == "no folder"


@pytest.mark.parametrize(
    "manifest",
    [
        {"x": float("nan")},
        {"x": {1, 2}},
        {"x": b"bytes"},
        {(1, 2): "x"},
    ],
    ids=["NaN", "a set", "bytes", "a tuple for a key"],
)
def test_what_is_no_json_is_refused_before_anything_is_written(
    manifest: dict[Any, Any], path: Path
) -> None:
    with pytest.raises(NudgeError, match=r"cannot save test state: not JSON") as caught:
        save(path, manifest)

    assert type(caught.value) is NudgeError
    assert names(path) == []


# --- Several at once --------------------------------------------------------------------------


def test_threads_that_save_at_once_leave_one_whole_state(path: Path) -> None:
    states = [
        ({"name": f"state {number}"}, {"a": np.full((3, 4), number, np.float32)})
        for number in range(4)
    ]
    start = threading.Barrier(len(states))

    def run(state: Any) -> None:
        start.wait()
        for _ in range(12):
            save(path, *state)

    workers = [threading.Thread(target=run, args=(state,)) for state in states]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    found, arrays = load(path)
    assert (arrays["a"] == float(found["name"].split()[1])).all()
    assert names(path) == ["state.safetensors"], "and nothing stale beside it"


def test_a_reader_beside_a_writer_finds_one_state_whole(path: Path) -> None:
    states = [({"number": n}, {"a": np.full((40, 40), n, np.float32)}) for n in range(2)]
    save(path, *states[0])
    stop = threading.Event()

    def write() -> None:
        for turn in range(60):
            save(path, *states[turn % 2])
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not stop.is_set():
        found, arrays = load(path)
        assert (arrays["a"] == found["number"]).all()
        reads += 1
    writer.join()
    assert reads > 0


# --- Loading checks every byte ----------------------------------------------------------------


def swap(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (lambda path: path.unlink(), "does not exist"),
    "a folder in its place": (lambda path: (path.unlink(), path.mkdir()), "cannot read"),
    "nothing in the file": (lambda path: path.write_bytes(b""), "truncated or edited"),
    "half of the file": (
        lambda path: path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2]),
        "truncated or edited",
    ),
    "all but a byte": (
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        "truncated or edited",
    ),
    "a byte too many": (
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        "truncated or edited",
    ),
    "brackets without end": (lambda path: path.write_text("[" * 100_000), "truncated or edited"),
    "JSON": (lambda path: path.write_text("[1]"), "truncated or edited"),
    "a safetensors file of others": (
        lambda path: save_file({"a": np.zeros(2)}, path),
        "truncated or edited",
    ),
    "another kind": (lambda path: swap(path, b"test state", b"test skate"), "holds 'test skate'"),
    "another version": (
        lambda path: swap(path, b'version\\": 3', b'version\\": 9'),
        r"layout version 9; this release .* version 3",
    ),
    "facts edited": (lambda path: swap(path, b'"old"', b'"odd"'), "truncated or edited"),
    "one bit of the arrays": (
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff"),
        "truncated or edited",
    ),
    "another shape": (lambda path: swap(path, b"[2,3]", b"[3,2]"), "truncated or edited"),
    "another checksum": (
        lambda path: swap(path, b'sha256\\": \\"', b'sha257\\": \\"'),
        "truncated or edited",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_named(damage: str, path: Path) -> None:
    save(path)
    spoil, message = DAMAGES[damage]
    spoil(path)

    with pytest.raises(CorruptFileError, match=message) as caught:
        load(path)

    assert type(caught.value) is CorruptFileError
    assert path.parent.name in str(caught.value), "the file is named"


@given(data=st.data())
def test_no_changed_byte_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("files") / "state.safetensors"
    save(path)
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[place]))
    path.write_bytes(good[:place] + bytes([other]) + good[place + 1 :])

    try:
        found, arrays = load(path)
    except CorruptFileError:
        return
    # White space in the header may change; a value may not.
    assert found == OLD
    assert arrays["a"].tobytes() == OLD_ARRAYS["a"].tobytes()


def test_a_state_can_be_copied_to_another_folder(path: Path, tmp_path: Path) -> None:
    save(path)
    other = tmp_path / "moved"
    other.mkdir()
    (other / path.name).write_bytes(path.read_bytes())

    assert holds(other / "state.safetensors", OLD, OLD_ARRAYS)


# --- Hashes of texts --------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=20))
def test_a_text_s_hash_is_of_its_exact_characters(one: str, two: str) -> None:
    assert (text_hash(one) == text_hash(two)) == (one == two)


def test_a_text_s_hash_is_sha256_of_its_utf_8() -> None:
    assert text_hash("é") == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"
    assert text_hash("e\u0301") != text_hash("é"), "two ways to write it are two texts"
    assert text_hash("\ud800") == sha256(b"\xed\xa0\x80")
