"""The door that every matrix of vectors passes: what comes in as it is, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nudge_integrations.common.arrays import as_matrix, name_some, norms, unit_rows
from nudge_integrations.errors import DataError

GOOD = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)


# --- What comes in ----------------------------------------------------------------------------


def test_a_float32_matrix_is_not_copied() -> None:
    assert as_matrix(GOOD, "vectors") is GOOD


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([[1, 2], [3, 4]], id="lists of ints"),
        pytest.param(((1.0, 2.0), (3.0, 4.0)), id="tuples"),
        pytest.param([np.array([1.0, 2.0]), np.array([3, 4])], id="a list of arrays"),
        pytest.param(GOOD.astype(np.float64), id="float64"),
        pytest.param(GOOD.astype(np.float16), id="float16"),
        pytest.param(GOOD.astype(np.longdouble), id="long double"),
        pytest.param(GOOD.astype(np.int64), id="int64"),
        pytest.param(GOOD.astype(np.uint8), id="uint8"),
        pytest.param(GOOD.astype(">f4"), id="big-endian"),
        pytest.param(GOOD.astype(object), id="Python objects that are numbers"),
        pytest.param(np.asfortranarray(GOOD), id="Fortran order"),
        pytest.param(np.repeat(GOOD, 2, axis=0)[::2], id="every other row"),
        pytest.param(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), id="a torch tensor"),
        pytest.param(torch.tensor([[1, 2], [3, 4]], dtype=torch.bfloat16), id="a bfloat16 tensor"),
        pytest.param(torch.tensor(GOOD).requires_grad_(), id="a tensor to train"),
    ],
)
def test_numbers_of_any_kind_become_a_contiguous_float32_matrix(values: Any) -> None:
    matrix = as_matrix(values, "vectors")

    assert matrix.dtype == np.dtype("=f4")
    assert matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, GOOD)


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=st.floats(-1e30, 1e30).filter(lambda value: abs(value) > 1e-30),
    )
)
def test_values_are_rounded_to_float32_and_nothing_else(values: Any) -> None:
    before = values.copy()

    matrix = as_matrix(values, "vectors")

    assert matrix.tobytes() == values.astype(np.float32).tobytes()
    np.testing.assert_array_equal(values, before)


def test_no_rows_pass_where_that_is_fine() -> None:
    assert as_matrix(np.empty((0, 3)), "vectors", allow_empty=True).shape == (0, 3)


def test_zeros_pass_where_that_is_fine() -> None:
    assert as_matrix(np.zeros((1, 3)), "vectors", allow_zero=True).tolist() == [[0, 0, 0]]


# --- What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "options", "named", "remedy"),
    [
        pytest.param([[1.0], [1.0, 2.0]], {}, "rows of one length", "numpy says", id="ragged"),
        pytest.param([["a", "b"]], {}, "real numbers", "", id="words"),
        pytest.param([["1", "2"]], {}, "real numbers", "", id="digits in strings"),
        pytest.param([[1 + 2j]], {}, "real numbers", "", id="complex numbers"),
        pytest.param(
            np.array([["2026-01-01"]], "datetime64[D]"), {}, "real numbers", "", id="dates"
        ),
        pytest.param([[{}, 1.0]], {}, "real numbers", "numpy says", id="a dict inside"),
        pytest.param([[None, 1.0]], {}, "row 0", "embed these again", id="None inside"),
        pytest.param(None, {}, "got shape ()|real numbers", "", id="None"),
        pytest.param([1.0, 2.0], {}, "shape (2,)", "[vector]", id="a single vector"),
        pytest.param(np.ones((2, 2, 2)), {}, "shape (2, 2, 2)", "one row a vector", id="3D"),
        pytest.param(np.ones((0, 2)), {}, "shape (0, 2)", "not be empty", id="no rows"),
        pytest.param(
            np.ones((2, 0)), {"allow_empty": True}, "shape (2, 0)", "not be empty", id="no columns"
        ),
        pytest.param(GOOD, {"dimension": 3}, "2 dimensions, but 3", "another", id="other width"),
        pytest.param(GOOD, {"ids": ["a"]}, "2 rows for 1 ids", "one row an id", id="too few ids"),
        pytest.param(
            [[1.0, 2.0], [np.nan, 1.0]], {"ids": ["a", "b"]}, "'b'", "embed these again", id="NaN"
        ),
        pytest.param([[np.inf, 1.0]], {}, "row 0", "embed these again", id="infinity"),
        pytest.param([[1e300, 1.0]], {}, "row 0", "leave them out", id="too large for float32"),
        pytest.param([[0.0, 0.0]], {"ids": ["a"]}, "'a'", "leave it out", id="zeros"),
        pytest.param([[1e-60, 0.0]], {}, "row 0", "no direction", id="zeros in float32"),
        pytest.param(
            np.full((9, 2), np.nan),
            {"ids": [f"d{n}" for n in range(9)]},
            "'d0', 'd1', 'd2'",
            "and 6 more",
            id="many bad rows",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(
    values: Any, options: dict[str, Any], named: str, remedy: str
) -> None:
    with pytest.raises(DataError) as caught:
        as_matrix(values, "document vectors", **options)

    assert type(caught.value) is DataError
    message = str(caught.value)
    assert message.startswith("document vectors")
    assert any(part in message for part in named.split("|"))
    assert remedy in message


def test_bad_rows_are_refused_even_where_zeros_are_fine() -> None:
    with pytest.raises(DataError, match="NaN or infinity in row 1"):
        as_matrix([[0.0], [np.nan]], "vectors", allow_zero=True)


# --- Lengths ----------------------------------------------------------------------------------

ROWS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-(2.0**50), 2.0**50, width=32).filter(lambda value: abs(value) > 2.0**-50),
)


@given(ROWS)
def test_unit_rows_have_length_1_and_their_old_direction(matrix: Any) -> None:
    before = matrix.copy()

    units = unit_rows(matrix)

    exact = matrix.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(units, exact, atol=1e-6)
    assert matrix.tobytes() == before.tobytes(), "the caller's vectors are not written to"


@given(ROWS)
def test_unit_rows_again_change_nothing(matrix: Any) -> None:
    once = unit_rows(matrix)

    assert unit_rows(once).tobytes() == once.tobytes()


def test_rows_that_are_unit_length_keep_their_bytes() -> None:
    matrix = np.array([[0.6, 0.8], [3.0, 4.0]], dtype=np.float32)

    units = unit_rows(matrix)

    assert units[0].tobytes() == matrix[0].tobytes()
    assert unit_rows(units[:1]) is not None
    assert norms(units).tolist() == pytest.approx([1, 1], abs=1e-6)


def test_lengths_are_summed_in_float64() -> None:
    # In float32 the large square would swallow the small ones.
    row = np.concatenate([[4096.0], np.full(4096, 0.5)]).astype(np.float32)[None]

    assert norms(row)[0] == np.float32(np.sqrt(4096.0**2 + 4096 * 0.25))
    assert norms(row).dtype == np.float32


# --- Names in messages ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a"], "'a'"),
        (["a", "b", "c"], "'a', 'b', 'c'"),
        (["a", "b", "c", "d"], "'a', 'b', 'c' and 1 more"),
        ([0, 1], "0, 1"),
        (["new\nline"], r"'new\nline'"),
    ],
)
def test_the_first_few_names_are_shown_and_the_rest_counted(names: list[Any], shown: str) -> None:
    assert name_some(names) == shown
