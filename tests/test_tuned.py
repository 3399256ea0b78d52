"""`TunedVectors`: what a run produced, there and back, on disk and in stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import fingerprint, tuned_vectors
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations import TunedVectors, compare, evaluate_rankings
from nudge_integrations.common.files import load_arrays, save_arrays, text_hash
from nudge_integrations.common.index import ExactIndex
from nudge_integrations.embedding import ModelFingerprint
from nudge_integrations.errors import (
    CorruptFileError,
    DataError,
    MetricMismatchError,
    ModelMismatchError,
    NudgeError,
)
from nudge_integrations.tuning.options import check_metric
from nudge_integrations.tuning.tuned import FILE_NAME, KIND, VERSION

IDS = ("d0", "d1", "d2")
WIDTH = 4


def report() -> Any:
    qrels = {"q1": {"d0": 1}, "q2": {"d1": 2}}
    before = evaluate_rankings({"q1": ["d1", "d0"], "q2": ["d1"]}, qrels)
    after = evaluate_rankings({"q1": ["d0", "d1"], "q2": ["d1"]}, qrels)
    return compare(before, after, judged_on="two questions", step=0.25, queries={"q1": "What?"})


def matrix(rows: int, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)


# --- What it is -------------------------------------------------------------------------------


def test_it_says_what_it_is_in_one_line() -> None:
    tuned = tuned_vectors()

    assert len(tuned) == 3
    assert repr(tuned) == (
        "TunedVectors(3 moved documents, method='nudge-n', step=0.25, metric='cosine', "
        "model='planted')"
    )


def test_nobody_writes_into_it_by_accident() -> None:
    vectors = matrix(3)
    tuned = tuned_vectors(vectors=vectors, text_hashes=(text_hash("a"), "b", "c"))

    for held in (tuned.vectors, tuned.originals, tuned.lookup("a")):
        with pytest.raises(ValueError, match="read-only"):
            held[:] = 0
    vectors[:] = 1  # the caller's own array is the caller's
    assert tuned.apply(["d0"], matrix(1)).flags.writeable


def test_a_report_can_be_exchanged_and_nothing_else_changes() -> None:
    tuned = tuned_vectors()

    other = tuned.with_report(report())

    assert tuned.report is None
    assert other.report == report()
    assert other.vectors.tobytes() == tuned.vectors.tobytes()


@pytest.mark.parametrize(
    ("changes", "named", "remedy"),
    [
        pytest.param(
            {"vectors": np.ones((2, WIDTH))}, "2 rows for 3 ids", "one row an id", id="few vectors"
        ),
        pytest.param({"ids": ("d0", "d1", "d0")}, "each id once", "", id="an id twice"),
        pytest.param({"text_hashes": ("x",)}, "one text hash for each id", "", id="few hashes"),
        pytest.param({"vectors": np.zeros((3, WIDTH))}, "'d0'", "no direction", id="zero vectors"),
        pytest.param(
            {"originals": [[1.0] * WIDTH, [np.nan] * WIDTH, [1.0] * WIDTH]},
            "originals must be finite: NaN or infinity in row 'd1'",
            "embed these again",
            id="NaN among the originals",
        ),
        pytest.param(
            {"vectors": np.ones((3, WIDTH + 1))}, "5 dimensions, but 4", "another", id="other width"
        ),
        pytest.param({"metric": "l2"}, "'l2'", "'cosine' or 'dot'", id="another metric"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: Any, named: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        tuned_vectors(**changes)

    assert type(caught.value) is DataError
    assert named in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_nudge_n_fits_both_metrics(metric: str) -> None:
    check_metric("nudge-n", metric)
    assert tuned_vectors(metric=metric).metric == metric


def test_nudge_m_fits_the_inner_product_alone() -> None:
    check_metric("nudge-m", "dot")
    with pytest.raises(MetricMismatchError, match=r"metric='cosine'.*use metric='dot'.*method='n'"):
        check_metric("nudge-m", "cosine")


# --- By text ----------------------------------------------------------------------------------


def test_a_text_finds_its_vector_by_its_exact_characters() -> None:
    tuned = tuned_vectors(text_hashes=tuple(map(text_hash, ("Café", "cafe", "\ud800"))))

    for row, text in enumerate(("Café", "cafe", "\ud800")):
        assert tuned.lookup(text).tobytes() == tuned.vectors[row].tobytes()
    for other in ("café", "Cafe\u0301", "Café ", " Café", "", "d0"):
        assert tuned.lookup(other) is None


def test_a_run_that_moved_nothing_finds_no_text() -> None:
    tuned = tuned_vectors(ids=())

    assert (len(tuned), tuned.vectors.shape) == (0, (0, WIDTH))
    assert tuned.lookup("text of d0") is None


# --- Apply and revert -------------------------------------------------------------------------


@given(
    st.permutations([*IDS, "other", "one more", "d00"]).flatmap(
        lambda ids: st.integers(1, len(ids)).map(lambda count: ids[:count])
    )
)
def test_rows_of_any_order_take_their_own_vector_and_give_it_back(ids: list[str]) -> None:
    tuned = tuned_vectors(IDS)
    rows = matrix(len(ids))
    for place, name in enumerate(ids):
        if name in IDS:
            rows[place] = tuned.originals[IDS.index(name)]
    before = rows.tobytes()

    moved = tuned.apply(ids, rows)

    assert rows.tobytes() == before, "the caller's matrix is not written to"
    for place, name in enumerate(ids):
        wanted = tuned.vectors[IDS.index(name)] if name in IDS else rows[place]
        assert moved[place].tobytes() == wanted.tobytes()
    assert tuned.revert(ids, moved).tobytes() == before


def test_rows_of_unknown_ids_may_be_zero() -> None:
    tuned = tuned_vectors()

    moved = tuned.apply(["other", "d1"], np.zeros((2, WIDTH)))

    assert moved.tolist() == [[0] * WIDTH, tuned.vectors[1].tolist()]


@pytest.mark.parametrize("call", ["apply", "revert"])
@pytest.mark.parametrize(
    ("ids", "rows", "named"),
    [
        pytest.param(["d0"], np.ones((1, 3)), "3 dimensions, but 4", id="other width"),
        pytest.param(["d0", "d1"], np.ones((1, WIDTH)), "1 rows for 2 ids", id="other number"),
        pytest.param(["d0"], np.full((1, WIDTH), np.inf), "'d0'", id="infinity"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(
    call: str, ids: list[str], rows: Any, named: str
) -> None:
    with pytest.raises(DataError, match=named):
        getattr(tuned_vectors(), call)(ids, rows)


def test_an_index_takes_the_vectors_where_the_originals_stand_and_gives_them_back() -> None:
    tuned = tuned_vectors()
    index = ExactIndex()
    index.upsert(["d0", "d2", "other"], np.vstack([tuned.originals[[0, 2]], matrix(1)]))
    index.upsert(["d2"], matrix(1, seed=10))
    ids, before = index.state()

    assert tuned.apply_to(index) == ["d1", "d2"]
    assert index.get(["d0"]).tobytes() == tuned.vectors[:1].tobytes()
    assert tuned.apply_to(index) == ["d0", "d1", "d2"], "it moved already"
    assert tuned.revert_in(index) == ["d1", "d2"]

    assert index.state()[0] == ids
    assert index.state()[1].tobytes() == before.tobytes()


def test_nudge_m_is_kept_out_of_a_cosine_index_but_not_in_it() -> None:
    tuned = tuned_vectors(method="nudge-m", metric="dot")
    index = ExactIndex("cosine")
    index.upsert(IDS, tuned.vectors)

    with pytest.raises(MetricMismatchError):
        tuned.apply_to(index)
    assert tuned.revert_in(index) == [], "the way out is always open"


# --- Save and load ----------------------------------------------------------------------------

UNICODE = st.text(st.characters(), min_size=1, max_size=6)


@given(
    st.lists(UNICODE, min_size=0, max_size=5, unique=True),
    st.integers(0, 2**32),
    st.floats(0, 2),
    st.sampled_from([("nudge-n", "cosine"), ("nudge-n", "dot"), ("nudge-m", "dot")]),
)
def test_a_saved_run_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    ids: list[str],
    seed: int,
    step: float,
    kind: tuple[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("tuned")
    hashes = tuple(text_hash(name) for name in ids)
    tuned = tuned_vectors(
        ids, seed=seed, step=step, method=kind[0], metric=kind[1], text_hashes=hashes
    )

    assert tuned.save(folder) == folder
    loaded = TunedVectors.load(folder)

    assert loaded.ids == tuned.ids
    assert loaded.text_hashes == tuned.text_hashes
    for name in ("vectors", "originals"):
        one, two = getattr(loaded, name), getattr(tuned, name)
        assert (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    assert (loaded.method, loaded.metric, loaded.step) == (*kind, step)
    assert loaded.model.matches(tuned.model)
    assert loaded.report is None


def test_the_report_comes_back_equal(tmp_path: Path) -> None:
    tuned_vectors(report=report()).save(tmp_path)

    assert TunedVectors.load(tmp_path).report == report()


def test_saving_over_an_older_run_leaves_the_new_one_alone(tmp_path: Path) -> None:
    tuned_vectors(seed=1).save(tmp_path)
    new = tuned_vectors(seed=2)

    new.save(tmp_path)

    assert TunedVectors.load(tmp_path).vectors.tobytes() == new.vectors.tobytes()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_save_that_dies_half_way_leaves_the_older_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tuned_vectors(seed=1)
    old.save(tmp_path)
    real = Path.replace

    def die(self: Path, target: Any) -> Any:
        if Path(target).name == FILE_NAME:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        tuned_vectors(seed=2).save(tmp_path)
    monkeypatch.undo()

    assert TunedVectors.load(tmp_path).vectors.tobytes() == old.vectors.tobytes()


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match=f"no {KIND} at .*{FILE_NAME}.*does not exist"):
        TunedVectors.load(tmp_path)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")

    with pytest.raises(NudgeError, match="choose a folder"):
        tuned_vectors().save(tmp_path / "file")
    with pytest.raises(CorruptFileError, match="file"):
        TunedVectors.load(tmp_path / "file")


FORGERIES: dict[str, Any] = {
    "no ids": lambda content: content.pop("ids"),
    "an id too many": lambda content: content["ids"].append("d9"),
    "an id twice": lambda content: content.update(ids=["d0", "d0", "d1"]),
    "ids that are a number": lambda content: content.update(ids=3),
    "a step that is a word": lambda content: content.update(step="far"),
    "a step that is nothing": lambda content: content.update(step=None),
    "no model": lambda content: content.pop("model"),
    "a model without a probe": lambda content: content["model"].pop("probe"),
    "a model of another width": lambda content: content["model"].update(probe=[1.0]),
    "a report that is none": lambda content: content.update(report={"rows": 1}),
    "NUDGE-M under cosine": lambda content: content.update(method="nudge-m"),
    "another metric": lambda content: content.update(metric="l2"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_content_that_makes_no_sense_is_corrupt_even_under_a_right_checksum(
    forgery: str, tmp_path: Path
) -> None:
    tuned = tuned_vectors()
    tuned.save(tmp_path)
    content, _ = load_arrays(tmp_path / FILE_NAME, KIND, VERSION)
    FORGERIES[forgery](content)
    arrays = {"vectors": tuned.vectors, "originals": tuned.originals}
    save_arrays(tmp_path / FILE_NAME, KIND, VERSION, content, arrays)

    with pytest.raises(CorruptFileError, match=FILE_NAME) as caught:
        TunedVectors.load(tmp_path)

    assert type(caught.value) is CorruptFileError
    assert "save it again" in str(caught.value)


def test_an_array_too_few_is_corrupt(tmp_path: Path) -> None:
    tuned = tuned_vectors()
    tuned.save(tmp_path)
    content, _ = load_arrays(tmp_path / FILE_NAME, KIND, VERSION)
    save_arrays(tmp_path / FILE_NAME, KIND, VERSION, content, {"vectors": tuned.vectors})

    with pytest.raises(CorruptFileError, match="originals"):
        TunedVectors.load(tmp_path)


# --- The model --------------------------------------------------------------------------------


def rotated(degrees: float) -> ModelFingerprint:
    """A model whose probe is turned by so much from that of `tuned_vectors`."""
    probe = np.arange(1, WIDTH + 1, dtype=np.float64)
    across = np.array([4.0, -3.0, 2.0, -1.0])
    across -= probe * (across @ probe) / (probe @ probe)
    across *= np.linalg.norm(probe) / np.linalg.norm(across)
    angle = np.radians(degrees)
    return fingerprint(np.cos(angle) * probe + np.sin(angle) * across, name="another name")


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(rotated(0), id="the same under another name"),
        pytest.param(rotated(2.5), id="half precision, or an API that jitters: cosine 0.99905"),
        pytest.param(fingerprint(10 * np.arange(1, WIDTH + 1)), id="the same, not normalised"),
    ],
)
def test_the_same_model_is_accepted(model: ModelFingerprint, tmp_path: Path) -> None:
    tuned = tuned_vectors()
    tuned.save(tmp_path)

    tuned.check_model(model)
    assert TunedVectors.load(tmp_path, model=model).ids == tuned.ids


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(rotated(2.6), id="trained a little further: cosine 0.99897"),
        pytest.param(rotated(90), id="another"),
        pytest.param(rotated(180), id="the opposite"),
        pytest.param(fingerprint(np.ones(WIDTH + 1)), id="another width"),
        pytest.param(fingerprint(np.zeros(WIDTH)), id="one without a vector"),
    ],
)
def test_another_model_is_refused_by_name(model: ModelFingerprint, tmp_path: Path) -> None:
    tuned = tuned_vectors()
    tuned.save(tmp_path)

    for refuse in (
        lambda: tuned.check_model(model),
        lambda: TunedVectors.load(tmp_path, model=model),
    ):
        with pytest.raises(ModelMismatchError) as caught:
            refuse()
        for part in ("'planted'", repr(model.name), "tune again"):
            assert part in str(caught.value)


def test_the_fingerprint_survives_saving_again_and_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = fingerprint(rng.normal(size=384))
    vectors = rng.normal(size=(1, 384))
    tuned = tuned_vectors(["d0"], 384, model=model, vectors=vectors, originals=vectors)
    for _ in range(5):
        tuned.save(tmp_path)
        tuned = TunedVectors.load(tmp_path, model=model)
    np.testing.assert_allclose(tuned.model.probe, model.probe, rtol=1e-6)
