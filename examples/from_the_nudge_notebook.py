"""What LlamaIndex's notebook about NUDGE does, with this package.

    pip install 'nudge-integrations[demo]'
    python examples/from_the_nudge_notebook.py

The steps of the notebook on `llama_index.experimental.Nudge`: judged questions in three splits, an
index before, the paper's NUDGE-N, an index after, and data added later. The index is one call here.
Data added later goes into a new engine together with the old: only what is new is embedded, every
run starts from the original vectors, and ids cannot come into disorder.
"""

from __future__ import annotations

from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode

from nudge_integrations import RelevanceDataset
from nudge_integrations.demo import demo_datasets
from nudge_integrations.llama_index import (
    NudgeEmbedding,
    NudgeFinetuneEngine,
    evaluate_retriever,
)

MODULES = ("itertools.", "str.", "os.", "shutil.", "random.", "collections.", "re.", "math.")


def main() -> None:
    """Before, after, and after more data came in."""
    # The notebook's splits come from a benchmark; yours: EmbeddingQAFinetuneDataset works, too.
    data = demo_datasets()
    corpus = {name: text for name, text in data["train"].corpus.items() if name.startswith(MODULES)}
    train, validation, test = (
        part.subset(q for q in part.queries if set(part.answers(q)) <= set(corpus)).with_corpus(
            corpus
        )
        for part in data.values()
    )
    embed_model = NudgeEmbedding("sentence-transformers/all-MiniLM-L6-v2")  # or any BaseEmbedding
    nodes = [TextNode(id_=name, text=text) for name, text in corpus.items()]

    def ndcg(index: VectorStoreIndex) -> float:
        found = evaluate_retriever(index.as_retriever(similarity_top_k=10), test, ["ndcg@10"])
        return found.mean("ndcg@10")

    def tuned(questions: RelevanceDataset, method: str) -> VectorStoreIndex:
        engine = NudgeFinetuneEngine(
            questions, embed_model, nodes, val_dataset=validation, method=method
        )
        engine.finetune()
        return engine.as_index()

    print(
        f"untuned                      {ndcg(VectorStoreIndex(nodes, embed_model=embed_model)):.3f}"
    )
    half = train.subset(list(train.queries)[::2])
    print(f"NUDGE-N, half the questions  {ndcg(tuned(half, 'n')):.3f}")
    print(f"NUDGE-N, all questions       {ndcg(tuned(train, 'n')):.3f}")
    print(f"NUDGE-C, all questions       {ndcg(tuned(train, 'c')):.3f}")


if __name__ == "__main__":
    main()
