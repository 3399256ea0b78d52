"""What LlamaIndex's notebook about embedding adapters does, with this package.

    pip install 'nudge-integrations[demo]'
    python examples/from_the_adapter_notebook.py

The steps of the notebook on `EmbeddingAdapterFinetuneEngine`: questions about two collections of
documents, an engine, its model, and hit rate and MRR before and after. The notebook trains on one
collection and validates on the other. An adapter can be judged so; documents that no question
mentions do not move, so here both collections are put together and cut by question.
"""

from __future__ import annotations

from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode

from nudge_integrations import RelevanceDataset
from nudge_integrations.demo import demo_datasets
from nudge_integrations.errors import DataError
from nudge_integrations.llama_index import (
    NudgeEmbedding,
    NudgeFinetuneEngine,
    evaluate_retriever,
)

COLLECTIONS = ("itertools.", "random.", "collections.", "math."), ("str.", "os.", "shutil.", "re.")
METRICS = ("hit_rate@5", "mrr@10")


def questions_about(modules: tuple[str, ...]) -> RelevanceDataset:
    """The demo's questions about one collection.

    Yours: `generate_questions(nodes, llm)`, or `RelevanceDataset.from_llama_index` for the files of
    `generate_qa_embedding_pairs`.
    """
    data = demo_datasets()
    known = data["train"].merge(data["test"])
    corpus = {name: text for name, text in known.corpus.items() if name.startswith(modules)}
    own = (query for query in known.queries if set(known.answers(query)) <= set(corpus))
    return known.subset(own).with_corpus(corpus)


def main() -> None:
    """Train, validate, compare."""
    first, second = map(questions_about, COLLECTIONS)
    embed_model = NudgeEmbedding("sentence-transformers/all-MiniLM-L6-v2")  # or any BaseEmbedding
    try:
        NudgeFinetuneEngine(first, embed_model, val_dataset=second)
    except DataError as error:
        print(f"As in the notebook: {error}")

    train, validation = first.merge(second).split((0.8, 0.2))
    nodes = [TextNode(id_=name, text=text) for name, text in train.corpus.items()]
    engine = NudgeFinetuneEngine(train, embed_model, nodes)
    engine.finetune()

    def measured(model: BaseEmbedding) -> str:
        retriever = VectorStoreIndex(nodes, embed_model=model).as_retriever(similarity_top_k=10)
        found = evaluate_retriever(retriever, validation, METRICS)
        return ", ".join(f"{metric} {found.mean(metric):.3f}" for metric in METRICS)

    print(f"before: {measured(embed_model)}")
    print(f"after:  {measured(engine.get_finetuned_model())}")


if __name__ == "__main__":
    main()
