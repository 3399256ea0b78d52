"""A LangChain RAG chain over Chroma, before and after the vectors of its collection are tuned.

    pip install 'nudge-integrations[demo,chroma]' langchain-chroma
    python examples/chroma_langchain_rag.py

The chain is built once. Tuning exchanges vectors inside the collection, so the chain, its
retriever and its embedding model stay the objects that they are. Nothing needs a network: the
chat model is a stand-in that answers with the first passage it is given.
"""

from __future__ import annotations

import tempfile

from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from nudge_integrations.demo import demo_datasets
from nudge_integrations.evaluation import compare
from nudge_integrations.langchain import NudgeEmbeddings, evaluate_retriever
from nudge_integrations.stores import tune

QUESTION = "clone an object so that changes do not affect the original"  # not a training question
PROMPT = "Answer from these passages only.\n\n{context}\n\nQuestion: {question}"
PASSAGES = 5
# How often a right passage is among the five that the model gets, and how often it is the first.
METRICS = [f"hit_rate@{PASSAGES}", "hit_rate@1"]
ROW = "  {0.metric:<10}  {0.group:<6}  {0.queries:>3} questions  {0.before:.3f} -> {0.after:.3f}"


def passages(hits: list[Document]) -> str:
    """Write the retrieved documents into the prompt: here their first paragraph, to be short."""
    return "\n\n".join(hit.page_content.split("\n\n")[0] for hit in hits)


def first_passage(prompt: PromptValue) -> AIMessage:
    """Stand in for a chat model."""
    return AIMessage(prompt.to_string().split("\n\n")[1])


def main() -> None:
    """Ask, tune, ask again, revert."""
    # Yours: RelevanceDataset(queries, corpus, qrels); document ids are those of the collection.
    data = demo_datasets()
    train, test = data["train"], data["test"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Yours: the Chroma(...) of your application, filled long ago, with your Embeddings.
        embeddings = NudgeEmbeddings("sentence-transformers/all-MiniLM-L6-v2")
        cosine = {"hnsw": {"space": "cosine"}}
        store = Chroma(
            "docs", embeddings, persist_directory=folder, collection_configuration=cosine
        )
        store.add_texts(list(train.corpus.values()), ids=list(train.corpus))
        retriever = store.as_retriever(search_kwargs={"k": PASSAGES})
        chain = (
            {"context": retriever | passages, "question": RunnablePassthrough()}
            | ChatPromptTemplate.from_template(PROMPT)
            | RunnableLambda(first_passage)  # yours: ChatOpenAI(model="gpt-4o-mini")
            | StrOutputParser()
        )
        before = evaluate_retriever(retriever, test, METRICS)
        answer_before = chain.invoke(QUESTION)

        # Reads and searches only. Here the originals go into a folder; in your own project leave
        # `journal` out, and they are kept in the store's own database, for any later process.
        plan = tune(store, train, embed_query=embeddings, journal=f"{folder}/journal")
        print(plan.report)
        print(f"\n{plan.apply()}")

        after = evaluate_retriever(retriever, test, METRICS)
        answer_after = chain.invoke(QUESTION)
        named = {name for query in train.judged_queries for name in train.answers(query)}
        seen = {query for query in test.judged_queries if named & set(test.answers(query))}
        report = compare(before, after, judged_on=f"{len(test)} test questions", seen=seen)
        print(f"\nThe same chain on {report.judged_on}, none of them used for tuning")
        print("(seen: a training question names an answer of theirs; unseen: none does)")
        for row in report.rows:
            if row.queries:  # of a group without questions there is nothing to say
                print(ROW.format(row))
        print(f"\n{QUESTION}\n  before: {answer_before!r}\n  after:  {answer_after!r}")

        print(f"\n{plan.revert()}")
        print("After revert the chain answers as before:", chain.invoke(QUESTION) == answer_before)


if __name__ == "__main__":
    main()
