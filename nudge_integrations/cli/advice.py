"""What to do with a run: in LlamaIndex, in LangChain, with a saved store, and to undo it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nudge_integrations.tuned import TunedVectors

_STEPS = """\
LlamaIndex, any vector store:
    from nudge_integrations import TunedVectors
    from nudge_integrations.llama_index import NudgeEmbedding
    embed_model = NudgeEmbedding(embed_model, TunedVectors.load({folder}))

LangChain, any vector store:
    from nudge_integrations import TunedVectors
    from nudge_integrations.langchain import NudgeEmbeddings
    embeddings = NudgeEmbeddings(embeddings, TunedVectors.load({folder}))

Documents are recognised by their exact text; questions go to {model}
untouched. A NudgeVectorStore that you saved is tuned in its file, and put back:
    nudge apply --tuned {argument} --store PATH
    nudge revert --tuned {argument} --store PATH

Undo: embed with your own model again, or `nudge revert`."""

_INNER_PRODUCT = """\
NUDGE-M: only in stores that rank by inner product, such as
NudgeVectorStore(metric="dot"); cosine would rank these vectors wrongly.

"""


def next_steps(tuned: TunedVectors, folder: Path) -> str:
    """How to use a run that was saved in `folder`, in words for a terminal."""
    if not len(tuned):
        return f"Saved the run in {folder}. No vector moved: there is nothing to apply or undo."
    saved = f"Saved {len(tuned)} moved vectors, with the original ones, in {folder}."
    steps = _STEPS.format(
        folder=repr(str(folder)), argument=shlex.quote(str(folder)), model=tuned.model.name
    )
    return f"{saved}\n\n{_INNER_PRODUCT if tuned.method == 'nudge-m' else ''}{steps}"
