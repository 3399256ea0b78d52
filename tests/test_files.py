"""Saving and loading: bit for bit, atomic, checked; a reader finds the old state or the new one."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nudge_integrations.common import files
from nudge_integrations.common.files import (
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
    return tmp_path / "state.json"


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
    path = tmp_path_factory.mktemp("files") / "state.json"

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


def test_what_was_saved_is_one_json_and_one_safetensors_file(path: Path) -> None:
    save(path)

    body = json.loads(path.read_text("utf-8"))
    assert names(path) == sorted(["state.json", body["arrays"]])
    assert body["arrays"].endswith(".safetensors")
    assert body["arrays_sha256"] == sha256((path.parent / body["arrays"]).read_bytes())
    assert (body["kind"], body["version"], body["content"]) == (KIND, VERSION, OLD)


def test_the_same_state_saved_twice_is_the_same_bytes(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "state.json"

    save(path)
    save(other)

    assert set(names(path)) - set(names(other)) == {"other"}
    for name in names(other):
        assert (path.parent / name).read_bytes() == (other.parent / name).read_bytes()


def test_the_folder_is_made_if_need_be(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "state.json"

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


def test_arrays_of_the_state_before_are_removed(path: Path) -> None:
    save(path)
    before = names(path)

    save(path, NEW, NEW_ARRAYS)

    assert len(names(path)) == 2
    assert set(names(path)) & set(before) == {"state.json"}


@pytest.mark.parametrize(
    ("mine", "neighbour"),
    [
        ("a.json", "ab.json"),
        ("a*.json", "ab.json"),
        ("[ab].json", "a.json"),
        ("a?.json", "ab.json"),
        ("a.json", "a.b.json"),
    ],
)
def test_a_neighbour_s_arrays_are_never_removed(mine: str, neighbour: str, tmp_path: Path) -> None:
    save(tmp_path / neighbour)

    save(tmp_path / mine)
    save(tmp_path / mine, NEW, NEW_ARRAYS)

    assert holds(tmp_path / neighbour, OLD, OLD_ARRAYS)
    assert holds(tmp_path / mine, NEW, NEW_ARRAYS)
    assert len(list(tmp_path.iterdir())) == 4, "and stale ones of its own are removed"


def test_arrays_that_a_killed_save_left_go_once_they_are_old(path: Path) -> None:
    killed = path.with_name("state.0123456789abcdef.safetensors")
    under_way = path.with_name("state.fedcba9876543210.safetensors")
    for left in (killed, under_way):
        left.write_bytes(b"arrays without a manifest")
    two_hours_ago = time.time() - 7200
    os.utime(killed, (two_hours_ago, two_hours_ago))

    save(path)

    assert killed.name not in names(path)
    assert under_way.name in names(path), "another process may be about to name them"


# --- Atomicity --------------------------------------------------------------------------------


class Killed(BaseException):
    """As little to be caught as a kill."""


def fail_on_write(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Let `write_atomically` raise instead of doing its `number`-th write, counted from 1."""
    real, calls = files.write_atomically, iter(range(1, 100))

    def write(path: Path, data: bytes) -> None:
        if next(calls) == number:
            raise error
        real(path, data)

    monkeypatch.setattr(files, "write_atomically", write)


@pytest.mark.parametrize("number", [1, 2], ids=["at the arrays", "at the manifest"])
def test_a_save_that_is_killed_leaves_the_older_state_whole(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path)
    fail_on_write(monkeypatch, number, Killed())

    with pytest.raises(Killed):
        save(path, NEW, NEW_ARRAYS)

    assert holds(path, OLD, OLD_ARRAYS)


@pytest.mark.parametrize("number", [1, 2], ids=["at the arrays", "at the manifest"])
def test_a_save_that_fails_leaves_no_other_file(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path)
    before = {name: (path.parent / name).read_bytes() for name in names(path)}
    fail_on_write(monkeypatch, number, NudgeError("disk full"))

    with pytest.raises(NudgeError):
        save(path, NEW, NEW_ARRAYS)

    assert {name: (path.parent / name).read_bytes() for name in names(path)} == before


def test_a_save_of_the_same_arrays_that_fails_keeps_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path)
    fail_on_write(monkeypatch, 2, NudgeError("disk full"))

    with pytest.raises(NudgeError):
        save(path, NEW, OLD_ARRAYS)

    assert holds(path, OLD, OLD_ARRAYS)


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
        save(tmp_path / "file" / "state.json")

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
        {1: "x", "a": "y"},
    ],
    ids=["NaN", "a set", "bytes", "a tuple for a key", "keys of two types"],
)
def test_what_is_no_json_is_refused_before_anything_is_written(
    manifest: dict[Any, Any], path: Path
) -> None:
    with pytest.raises(NudgeError, match=r"cannot save test state at .*: not JSON") as caught:
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
    assert len(names(path)) == 2, "and nothing stale beside it"


def test_a_save_never_deletes_what_another_thread_is_about_to_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path)
    real, other_is_done = files.write_atomically, threading.Event()

    def write(target: Path, data: bytes) -> None:
        real(target, data)
        if target != path and threading.current_thread().name == "slow":
            other_is_done.wait(0.3)

    monkeypatch.setattr(files, "write_atomically", write)
    # Saves again what is there, so its arrays are those that the other save replaces.
    slow = threading.Thread(target=save, args=(path,), name="slow")
    slow.start()
    time.sleep(0.05)
    save(path, NEW, NEW_ARRAYS)
    other_is_done.set()
    slow.join()

    found, _ = load(path)
    assert found in (OLD, NEW)


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


def test_a_save_of_another_process_between_the_two_reads_of_a_load_is_met(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path)
    real, done = Path.read_bytes, []

    def read(self: Path) -> bytes:
        data = real(self)
        if self == path and not done:
            done.append(True)
            save(path, NEW, NEW_ARRAYS)
        return data

    monkeypatch.setattr(Path, "read_bytes", read)

    assert holds(path, NEW, NEW_ARRAYS)


def test_a_save_of_another_process_just_before_the_clean_up_keeps_its_arrays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path, NEW, NEW_ARRAYS)
    new = {name: (path.parent / name).read_bytes() for name in names(path)}
    save(path)
    real = files.write_atomically

    def write(target: Path, data: bytes) -> None:
        real(target, data)
        if target == path:  # the other process writes its manifest right after ours
            for name, content in new.items():
                (path.parent / name).write_bytes(content)

    monkeypatch.setattr(files, "write_atomically", write)
    save(path, {"name": "third"}, {"a": np.ones((1, 1), np.float32)})
    monkeypatch.undo()

    assert holds(path, NEW, NEW_ARRAYS)


# --- Loading checks every byte ----------------------------------------------------------------


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    body = json.loads(path.read_text("utf-8"))
    change(body)
    path.write_text(json.dumps(body), "utf-8")


def arrays_of(path: Path) -> Path:
    return path.with_name(json.loads(path.read_text("utf-8"))["arrays"])


def rehashed(path: Path, blob: bytes) -> None:
    """Other bytes for the arrays, with a checksum that agrees."""
    arrays_of(path).write_bytes(blob)
    edit(path, lambda body: body.update(arrays_sha256=sha256(blob)))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (lambda path: path.unlink(), "does not exist"),
    "a folder in its place": (lambda path: (path.unlink(), path.mkdir()), "cannot read"),
    "nothing in the file": (lambda path: path.write_bytes(b""), "truncated or edited"),
    "half of the JSON": (
        lambda path: path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2]),
        "truncated or edited",
    ),
    "no UTF-8": (lambda path: path.write_bytes(b'{"kind": "\xff"}'), "truncated or edited"),
    "a number without end": (
        lambda path: path.write_text('{"kind": ' + "9" * 5000 + "}"),
        "truncated or edited|holds",
    ),
    "brackets without end": (lambda path: path.write_text("[" * 100_000), "truncated or edited"),
    "a list": (lambda path: path.write_text("[1]"), "holds 'list'"),
    "another kind": (lambda path: edit(path, lambda b: b.update(kind="cake")), "holds 'cake'"),
    "another version": (
        lambda path: edit(path, lambda b: b.update(version=99)),
        r"layout version 99; this release .* version 3",
    ),
    "content edited": (
        lambda path: edit(path, lambda b: b["content"].update(name="mine")),
        "edited after it was saved",
    ),
    "content with NaN": (
        lambda path: edit(path, lambda b: b["content"].update(name=float("nan"))),
        "edited after it was saved",
    ),
    "content gone": (lambda path: edit(path, lambda b: b.pop("content")), "lacks 'content'"),
    "checksum gone": (lambda path: edit(path, lambda b: b.pop("content_sha256")), "edited"),
    "name of the arrays gone": (lambda path: edit(path, lambda b: b.pop("arrays")), "lacks"),
    "arrays elsewhere": (
        lambda path: edit(path, lambda b: b.update(arrays="../secret.safetensors")),
        "cannot read the arrays",
    ),
    "arrays without a name": (
        lambda path: edit(path, lambda b: b.update(arrays="")),
        "cannot read the arrays",
    ),
    "arrays with a strange name": (
        lambda path: edit(path, lambda b: b.update(arrays="a\0b")),
        "cannot read the arrays",
    ),
    "arrays gone": (lambda path: arrays_of(path).unlink(), "not beside it"),
    "arrays truncated": (
        lambda path: arrays_of(path).write_bytes(arrays_of(path).read_bytes()[:-1]),
        "truncated or edited",
    ),
    "one bit of the arrays": (
        lambda path: arrays_of(path).write_bytes(
            arrays_of(path).read_bytes()[:-1] + bytes([arrays_of(path).read_bytes()[-1] ^ 1])
        ),
        "truncated or edited",
    ),
    "arrays that are no safetensors": (
        lambda path: rehashed(path, b"\x08\0\0\0\0\0\0\0notjson!"),
        "no safetensors file",
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
    path = tmp_path_factory.mktemp("files") / "state.json"
    save(path)
    file = data.draw(st.sampled_from([path, arrays_of(path)]))
    good = file.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[place]))
    file.write_bytes(good[:place] + bytes([other]) + good[place + 1 :])

    try:
        found, arrays = load(path)
    except CorruptFileError:
        return
    # White space between two JSON values may change; a value may not.
    assert found == OLD
    assert arrays["a"].tobytes() == OLD_ARRAYS["a"].tobytes()


def test_a_state_can_be_copied_to_another_folder(path: Path, tmp_path: Path) -> None:
    save(path)
    other = tmp_path / "moved"
    other.mkdir()
    for file in [path, arrays_of(path)]:
        (other / file.name).write_bytes(file.read_bytes())

    assert holds(other / "state.json", OLD, OLD_ARRAYS)


# --- Hashes of texts --------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=20))
def test_a_text_s_hash_is_of_its_exact_characters(one: str, two: str) -> None:
    assert (text_hash(one) == text_hash(two)) == (one == two)


def test_a_text_s_hash_is_sha256_of_its_utf_8() -> None:
    assert text_hash("é") == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"
    assert text_hash("e\u0301") != text_hash("é"), "two ways to write it are two texts"
    assert text_hash("\ud800") == sha256(b"\xed\xa0\x80")
