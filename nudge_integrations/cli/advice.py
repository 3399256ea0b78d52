"""What to do with a run: in LlamaIndex, in LangChain, with a saved store, and to undo it."""

from __future__ import annotations

import json
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nudge_integrations.tuning.tuned import TunedVectors

_WIDTH = 79

_STEPS = """\
LlamaIndex, with any vector store:
    from nudge_integrations import TunedVectors
    from nudge_integrations.llama_index import NudgeEmbedding
    embed_model = NudgeEmbedding(embed_model, TunedVectors.load({folder}))

LangChain, with any vector store:
    from nudge_integrations import TunedVectors
    from nudge_integrations.langchain import NudgeEmbeddings
    embeddings = NudgeEmbeddings(embeddings, TunedVectors.load({folder}))

A NudgeVectorStore that you saved, of either framework, in its file:
    nudge apply --tuned {argument} --store PATH

Undo: embed with your own model again; in a saved store:
    nudge revert --tuned {argument} --store PATH"""

_RECOGNISED = (
    "A document gets its tuned vector when its exact text is the one in the data (BEIR: title, a "
    "space, text). Every question, and every other text, goes to your own model as before; it "
    "must be {model}."
)

_INNER_PRODUCT = (
    'Use a store that ranks by inner product, such as NudgeVectorStore(metric="dot"): the vectors '
    "of NUDGE-M are not of unit length, so cosine ranks them wrongly."
)


def next_steps(tuned: TunedVectors, folder: Path) -> str:
    """How to use a run that was saved in `folder`, in words for a terminal."""
    if not len(tuned):
        return f"Saved the run in {folder}. No vector moved: there is nothing to apply or undo."
    vectors = "vector" if len(tuned) == 1 else "vectors"
    notes = [_RECOGNISED.format(model=tuned.model.name)]
    if tuned.method == "nudge-m":
        notes.append(_INNER_PRODUCT)
    steps = _STEPS.format(
        folder=json.dumps(str(folder), ensure_ascii=False), argument=shlex.quote(str(folder))
    )
    return "\n\n".join(
        [
            f"Saved {len(tuned)} tuned {vectors}, and the original ones, in {folder}.",
            steps,
            *(textwrap.fill(each, _WIDTH, break_on_hyphens=False) for each in notes),
        ]
    )
