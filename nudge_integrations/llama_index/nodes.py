"""Copy nodes without their embeddings, and convert them to JSON and back."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.schema import BaseNode, IndexNode, MediaResource

from nudge_integrations.common.arrays import name_some
from nudge_integrations.common.files import check_json, not_json
from nudge_integrations.errors import CorruptFileError, DataError

EXAMPLE = "TextNode(id_='d1', text='...')"
"""Example node for error messages."""


def copied(node: BaseNode) -> BaseNode:
    """Copy a node, without its embedding, so that no later change to either shows in the other.

    The object that an `IndexNode` points at is shared, not copied: it may be a whole index.
    """
    bare = node.model_copy(update={"embedding": None})
    shared = bare.obj if isinstance(bare, IndexNode) else None
    return copy.deepcopy(bare, {id(shared): shared} if shared is not None else {})


def embeddings_of(nodes: Sequence[BaseNode], dimension: int | None) -> list[list[float]]:
    """Take the embedding of each node, all of one length.

    Args:
        nodes: Nodes, each with an embedding.
        dimension: The length asked for; by default that of the first.

    Raises:
        DataError: Nodes without an embedding, or with one of another length. They are named.
    """
    missing = [node.node_id for node in nodes if node.embedding is None]
    if missing:
        raise DataError(
            f"node {name_some(missing)} has no embedding: embed it first, with "
            "`embed_model(nodes)`, or add it through VectorStoreIndex(nodes, ...)"
        )
    embeddings = [node.get_embedding() for node in nodes]
    for node, embedding in zip(nodes, embeddings, strict=True):
        dimension = dimension or len(embedding)
        if len(embedding) != dimension:
            raise DataError(
                f"node {node.node_id!r} has an embedding of {len(embedding)} dimensions, but "
                f"{dimension} are needed; was it made by another model?"
            )
    return embeddings


def to_json(node: BaseNode) -> str:
    """Convert a node to JSON, with its class and without its embedding.

    Keys keep their order, because that of metadata shapes the text that is embedded.

    Raises:
        DataError: Metadata, or the object of an `IndexNode`, that would not come back from JSON
            as it is. The node is named.
    """
    what = "metadata or obj" if isinstance(node, IndexNode) else "metadata"
    check_json(node.metadata, f"the {what} of node {node.node_id!r}")
    try:
        body = node.model_dump(mode="json", exclude={"embedding"})
        if isinstance(node, IndexNode):
            # Older releases make JSON of `obj` in this method only.
            body["obj"] = node.dict()["obj"]
        for name, value in node:
            # The framework leaves binary data out of its JSON; in memory it is base64 already.
            if isinstance(value, MediaResource) and value.data is not None:
                body[name]["data"] = value.data.decode()
        return json.dumps({"class": _class_key(type(node)), "node": body}, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise not_json(f"the {what} of node {node.node_id!r}", error) from error


def from_json(saved: Sequence[str]) -> list[BaseNode]:
    """Rebuild nodes from what `to_json` made.

    Raises:
        DataError: A class is defined in a module that was not imported.
        CorruptFileError: A class does not accept the saved fields.
    """
    classes = {_class_key(known): known for known in _node_classes()}
    bodies = (json.loads(one) for one in saved)
    return [_one_from_json(body["class"], body["node"], classes) for body in bodies]


def _one_from_json(
    name: str, body: Mapping[str, Any], classes: Mapping[str, type[BaseNode]]
) -> BaseNode:
    if name not in classes:
        raise DataError(
            f"node {body.get('id_')!r} is a {name}, which is not known here: import the module "
            "that defines it, then load again"
        )
    try:
        node = classes[name].from_dict(dict(body))
        # Some releases know this field by a second, misspelt name too, and read that one back.
        if "metadata_separator" in body:
            node.metadata_separator = body["metadata_separator"]
        return node
    except (TypeError, ValueError) as error:
        raise CorruptFileError(
            f"node {body.get('id_')!r} cannot be read as {name} by this version of "
            f"llama-index-core: {error}"
        ) from error


def _class_key(node_class: type[BaseNode]) -> str:
    # The framework moves its modules between versions, so its classes go by their plain name.
    module = node_class.__module__
    is_framework = module.startswith("llama_index.")
    return node_class.__name__ if is_framework else f"{module}.{node_class.__qualname__}"


def _node_classes() -> Iterator[type[BaseNode]]:
    """Every class of nodes that has been imported."""
    waiting = BaseNode.__subclasses__()
    while waiting:
        node_class = waiting.pop()
        yield node_class
        waiting.extend(node_class.__subclasses__())
