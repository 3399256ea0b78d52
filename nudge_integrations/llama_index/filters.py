"""Metadata filters of LlamaIndex, compiled once into a predicate over nodes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from pydantic_core import to_jsonable_python

from nudge_integrations.errors import DataError

Predicate = Callable[[BaseNode], bool]

# The names under which LlamaIndex's own stores file the id of a node's source document.
REF_DOC_KEYS = frozenset({"ref_doc_id", "doc_id", "document_id"})
# What those stores file for a node without one, so `ref_doc_id != "None"` means the same here.
NO_REF_DOC = "None"

_MATCHES_MISSING = (FilterOperator.NE, FilterOperator.NIN, FilterOperator.IS_EMPTY)


def compile_filters(filters: MetadataFilters | None) -> Predicate:
    """Compile metadata filters into a predicate over nodes.

    Means what `SimpleVectorStore` of llama-index-core 0.14.23 means by the same filters, and nests
    as well, whichever release is installed (earlier ones know no `not`, and let a missing field
    fail `!=` and `nin`). A missing or null field matches only `!=`, `nin` and `is_empty`; a group
    without filters matches all; `not` matches where none of its filters does. `ref_doc_id`,
    `doc_id` and `document_id` are the id of the node's source document. Dates and other values
    that are no JSON compare as their JSON (ISO 8601 for dates). AND and OR stop at the first
    filter that settles them.

    Args:
        filters: The filters, or None for no restriction.

    Returns:
        A function of a node. It raises a DataError that names the key and both values where
        they cannot be compared, such as `"2024" > 2023`.

    Raises:
        DataError: A condition or an operator that this version does not know.
    """
    if filters is None:
        return _always
    parts = [
        compile_filters(part) if isinstance(part, MetadataFilters) else _compile_one(part)
        for part in filters.filters
    ]
    if not parts:
        return _always
    if filters.condition in (None, FilterCondition.AND):
        return parts[0] if len(parts) == 1 else lambda node: all(part(node) for part in parts)
    if filters.condition is FilterCondition.OR:
        return lambda node: any(part(node) for part in parts)
    if filters.condition is FilterCondition.NOT:
        return lambda node: not any(part(node) for part in parts)
    raise DataError(f"unknown filter condition {filters.condition!r}; use AND, OR or NOT")


def _always(_: BaseNode) -> bool:
    return True


def _compile_one(part: MetadataFilter) -> Predicate:
    """Compile one filter: a key, an operator, a value."""
    test = _TESTS.get(part.operator)
    if test is None:
        raise DataError(
            f"unknown filter operator {part.operator!r} on {part.key!r}; "
            f"known are {', '.join(known.value for known in _TESTS)}"
        )
    key, value, missing_matches = part.key, part.value, part.operator in _MATCHES_MISSING

    def matches(node: BaseNode) -> bool:
        found = _field(node, key)
        if found is None:
            return missing_matches
        try:
            return bool(test(found, value))
        except TypeError as error:
            raise DataError(
                f"filter {key!r} {part.operator.value} {value!r} cannot be applied: node "
                f"{node.node_id!r} holds {found!r} ({type(found).__name__}) there; compare values "
                "of one type, or narrow the nodes with a filter before it"
            ) from error

    return matches


def _field(node: BaseNode, key: str) -> Any:
    """What a filter on `key` sees of `node`; None where there is nothing."""
    if key in REF_DOC_KEYS:
        return node.ref_doc_id or NO_REF_DOC
    if key == "_node_type":
        return node.class_name()
    value = node.metadata.get(key)
    if value is None or isinstance(value, str | int | float):
        return value
    return to_jsonable_python(value, fallback=lambda other: other)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("both sides must be text")
    return value


_TESTS: dict[FilterOperator, Callable[[Any, Any], Any]] = {
    FilterOperator.EQ: operator.eq,
    FilterOperator.NE: operator.ne,
    FilterOperator.GT: operator.gt,
    FilterOperator.LT: operator.lt,
    FilterOperator.GTE: operator.ge,
    FilterOperator.LTE: operator.le,
    FilterOperator.IN: lambda found, value: found in value,
    FilterOperator.NIN: lambda found, value: found not in value,
    FilterOperator.ANY: lambda found, value: any(one in found for one in value),
    FilterOperator.ALL: lambda found, value: all(one in found for one in value),
    FilterOperator.TEXT_MATCH: lambda found, value: _text(value) in _text(found),
    FilterOperator.TEXT_MATCH_INSENSITIVE: lambda found, value: (
        _text(value).lower() in _text(found).lower()
    ),
    FilterOperator.CONTAINS: lambda found, value: value in found,
    FilterOperator.IS_EMPTY: lambda found, _: found in ("", []),
}
