"""The tuned models' one look at their base model, before the first tuned vector is given."""

from __future__ import annotations

from typing import Any

import pytest
from engine_fakes import FRAMEWORKS, LangChain, fingerprint, tuned_vectors, unit

from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import ModelMismatchError

TEXT = "a text that was tuned"
MINE, THEIRS = [1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]
TUNED = tuned_vectors(("d0",), text_hashes=(text_hash(TEXT),), model=fingerprint(unit(MINE)))
PROBED = ("document", PROBE_TEXT)


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


def base(side: Any, probe: list[float]) -> Any:
    return side.model({PROBE_TEXT: probe}, name="the model at hand")


async def embed(side: Any, model: Any, way: str, text: str = TEXT) -> None:
    """Ask for the vector of a text: in a batch, alone, and both ways async."""
    if side is LangChain:
        # LangChain knows batches alone.
        asked = {"sync": model.embed_documents, "async": model.aembed_documents}
        answer = asked[way.split()[0]]([text])
    elif way.endswith("alone"):
        asked = {"sync": model.get_text_embedding, "async": model.aget_text_embedding}
        answer = asked[way.split()[0]](text)
    else:
        asked = {"sync": model.get_text_embedding_batch, "async": model.aget_text_embedding_batch}
        answer = asked[way.split()[0]]([text])
    if way.startswith("async"):
        await answer


WAYS = pytest.mark.parametrize("way", ["sync batch", "sync alone", "async batch", "async alone"])


@WAYS
async def test_another_model_is_refused_each_time_a_tuned_vector_is_asked_for(
    way: str, side: Any
) -> None:
    model = side.tuned_model(base(side, THEIRS), TUNED)

    for _ in range(2):
        with pytest.raises(ModelMismatchError, match=r"'planted'.*'the model at hand'"):
            await embed(side, model, way)


@WAYS
async def test_the_model_tuned_for_is_looked_at_once(way: str, side: Any) -> None:
    model = base(side, MINE)
    tuned = side.tuned_model(model, TUNED)

    for _ in range(3):
        await embed(side, tuned, way)

    assert model.asked == [PROBED]


@WAYS
async def test_a_text_without_a_tuned_vector_needs_no_look(way: str, side: Any) -> None:
    model = base(side, THEIRS)
    tuned = side.tuned_model(model, TUNED)

    await embed(side, tuned, way, "another text")
    side.embed_query(tuned, TEXT)

    assert model.asked == [("document", "another text"), ("query", TEXT)]


@WAYS
async def test_the_look_can_be_left_out(way: str, side: Any) -> None:
    model = base(side, THEIRS)

    await embed(side, side.tuned_model(model, TUNED, check_model=False), way)

    assert model.asked == []
