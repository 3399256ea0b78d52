"""Metadata filters mean what LlamaIndex's own stores mean by them, and nest."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn, node_to_metadata_dict

from nudge_integrations.errors import DataError
from nudge_integrations.llama_index.filters import compile_filters


def node(metadata: dict[str, Any], ref_doc_id: str | None = None) -> TextNode:
    made = TextNode(id_="n1", text="text", metadata=metadata)
    if ref_doc_id is not None:
        made.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=ref_doc_id)
    return made


def one(key: str, operator: FilterOperator, value: Any = None) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


@pytest.mark.parametrize(
    ("operator", "value", "matching", "other"),
    [
        (FilterOperator.EQ, "a", "a", "b"),
        (FilterOperator.NE, "a", "b", "a"),
        (FilterOperator.GT, 3, 4, 3),
        (FilterOperator.GTE, 3, 3, 2),
        (FilterOperator.LT, 3, 2.5, 3),
        (FilterOperator.LTE, 3, 3, 4),
        (FilterOperator.IN, ["a", "b"], "b", "c"),
        (FilterOperator.NIN, ["a", "b"], "c", "b"),
        (FilterOperator.ANY, ["a", "b"], ["b", "c"], ["c"]),
        (FilterOperator.ALL, ["a", "b"], ["b", "a", "c"], ["a"]),
        (FilterOperator.TEXT_MATCH, "Cat", "a Cat sat", "a cat sat"),
        (FilterOperator.TEXT_MATCH_INSENSITIVE, "Cat", "a cAT sat", "a dog sat"),
        (FilterOperator.CONTAINS, "a", ["a", "b"], ["b"]),
        (FilterOperator.IS_EMPTY, None, [], ["x"]),
    ],
    ids=lambda value: value.name if isinstance(value, FilterOperator) else "",
)
def test_each_operator_matches_and_refuses(
    operator: FilterOperator, value: Any, matching: Any, other: Any
) -> None:
    predicate = compile_filters(one("field", operator, value))

    assert predicate(node({"field": matching})) is True
    assert predicate(node({"field": other})) is False


def test_the_cases_above_cover_every_operator_there_is() -> None:
    for operator in FilterOperator:
        assert callable(compile_filters(one("field", operator, "x")))
    assert len(FilterOperator) == 14


@pytest.mark.parametrize("operator", list(FilterOperator), ids=lambda one: one.name)
@pytest.mark.parametrize("metadata", [{}, {"field": None}], ids=["absent", "null"])
def test_a_missing_field_matches_only_what_excludes_or_asks_for_emptiness(
    operator: FilterOperator, metadata: dict[str, Any]
) -> None:
    matches = compile_filters(one("field", operator, "x"))(node(metadata))

    excluding = (FilterOperator.NE, FilterOperator.NIN, FilterOperator.IS_EMPTY)
    assert matches is (operator in excluding)


@pytest.mark.parametrize("key", ["ref_doc_id", "doc_id", "document_id"])
def test_the_source_document_is_a_field(key: str) -> None:
    predicate = compile_filters(one(key, FilterOperator.EQ, "d1"))

    assert predicate(node({}, ref_doc_id="d1"))
    assert not predicate(node({key: "d1"}, ref_doc_id="d2"))
    assert not predicate(node({}))


def test_dates_compare_as_the_iso_text_that_other_stores_keep() -> None:
    predicate = compile_filters(one("day", FilterOperator.GTE, "2024-05-01"))

    assert predicate(node({"day": datetime.date(2024, 5, 2)}))
    assert not predicate(node({"day": datetime.date(2024, 4, 30)}))


@pytest.mark.parametrize(
    ("operator", "value", "found"),
    [
        (FilterOperator.GT, 2023, "2024"),
        (FilterOperator.LTE, "a", 1),
        (FilterOperator.GT, None, 1),
        (FilterOperator.IN, 5, 5),
        (FilterOperator.IN, "a", 5),
        (FilterOperator.CONTAINS, "a", 5),
        (FilterOperator.ANY, ["a"], 5),
        (FilterOperator.TEXT_MATCH, "5", 5),
        (FilterOperator.TEXT_MATCH_INSENSITIVE, "a", ["a"]),
    ],
)
def test_values_that_cannot_be_compared_are_named(
    operator: FilterOperator, value: Any, found: Any
) -> None:
    predicate = compile_filters(one("year", operator, value))

    with pytest.raises(DataError) as caught:
        predicate(node({"year": found}))

    for named in ("'year'", repr(value), repr(found), "'n1'", operator.value):
        assert named in str(caught.value)


def test_a_filter_before_it_keeps_a_comparison_from_values_of_another_type() -> None:
    filters = MetadataFilters(
        filters=[
            MetadataFilter(key="kind", value="report"),
            MetadataFilter(key="year", value=2023, operator=FilterOperator.GT),
        ]
    )

    assert not compile_filters(filters)(node({"kind": "note", "year": "unknown"}))


def test_no_filters_at_all_match_everything() -> None:
    assert compile_filters(None)(node({}))
    for condition in FilterCondition:
        assert compile_filters(MetadataFilters(filters=[], condition=condition))(node({}))


def test_an_operator_from_the_future_is_refused_before_any_node_is_seen() -> None:
    unknown = MetadataFilter.model_construct(key="a", value=1, operator="near")

    with pytest.raises(DataError, match="near"):
        compile_filters(MetadataFilters.model_construct(filters=[unknown], condition=None))


KEYS = st.sampled_from(["a", "b", "doc_id"])
SCALARS = st.one_of(
    st.integers(-3, 3),
    st.floats(-3, 3, allow_nan=False),
    st.text("abA", max_size=3),
)
VALUES = st.one_of(
    st.none(),
    SCALARS,
    st.lists(st.text("ab", max_size=2), max_size=3),
    st.lists(st.integers(-3, 3), max_size=3),
)
STORED = st.one_of(VALUES, st.booleans(), st.tuples(SCALARS, SCALARS), st.dates())
FILTERS = st.builds(
    MetadataFilter, key=KEYS, value=VALUES, operator=st.sampled_from(list(FilterOperator))
)
NODES = st.builds(
    node,
    st.dictionaries(KEYS, STORED, max_size=3),
    st.one_of(st.none(), st.text("ab", min_size=1, max_size=2)),
)


@settings(max_examples=500, deadline=None)
@given(
    filters=st.lists(FILTERS, min_size=1, max_size=3),
    condition=st.sampled_from([None, *FilterCondition]),
    stored=NODES,
)
def test_flat_filters_mean_what_the_framework_means(
    filters: list[MetadataFilter], condition: FilterCondition | None, stored: TextNode
) -> None:
    group = MetadataFilters(filters=filters, condition=condition)
    framework = build_metadata_filter_fn(lambda _: node_to_metadata_dict(stored), group)
    try:
        expected = framework("n1")
    except TypeError:
        # The framework fails on any filter that cannot be compared, settled or not.
        singles = [compile_filters(MetadataFilters(filters=[each])) for each in filters]
        with pytest.raises(DataError):
            [single(stored) for single in singles]
        return

    assert compile_filters(group)(stored) is bool(expected)


COMPARABLE = st.builds(
    MetadataFilter,
    key=st.sampled_from(["a", "b"]),
    value=st.integers(-2, 2),
    operator=st.sampled_from(
        [FilterOperator.EQ, FilterOperator.NE, FilterOperator.GT, FilterOperator.LTE]
    ),
)
GROUPS = st.recursive(
    COMPARABLE,
    lambda inner: st.builds(
        MetadataFilters,
        filters=st.lists(inner, max_size=3),
        condition=st.sampled_from(list(FilterCondition)),
    ),
    max_leaves=10,
)


def oracle(part: MetadataFilter | MetadataFilters, stored: TextNode) -> bool:
    """The words of the documentation, one filter at a time, with the framework's own leaves."""
    if isinstance(part, MetadataFilter):
        alone = MetadataFilters(filters=[part])
        return bool(build_metadata_filter_fn(lambda _: stored.metadata, alone)("n1"))
    if not part.filters:
        return True
    answers = [oracle(inner, stored) for inner in part.filters]
    if part.condition is FilterCondition.AND:
        return False not in answers
    if part.condition is FilterCondition.OR:
        return True in answers
    return True not in answers


@settings(max_examples=500, deadline=None)
@given(
    group=GROUPS.filter(lambda part: isinstance(part, MetadataFilters)),
    metadata=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(-2, 2)),
)
def test_nested_filters_mean_what_their_words_say(
    group: MetadataFilters, metadata: dict[str, int]
) -> None:
    stored = node(metadata)

    assert compile_filters(group)(stored) is oracle(group, stored)
