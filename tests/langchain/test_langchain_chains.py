"""Chains: the code that runs on LangChain's in-memory store runs on ours, and says the same."""

import uuid

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.stores import InMemoryStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_fakes import WordEmbeddings

from nudge_integrations.langchain.vector_store import NudgeVectorStore

FACTS = {
    "tower": "the tower is tall",
    "bridge": "the bridge is long and old",
    "river": "a river is wide",
    "old": "old towns have a tower and a bridge",
}


@pytest.fixture(params=[InMemoryVectorStore, NudgeVectorStore])
def store_class(request):
    return request.param


@pytest.fixture
def store(store_class):
    documents = [
        Document(id=name, page_content=text, metadata={"source": name})
        for name, text in FACTS.items()
    ]
    return store_class.from_documents(documents, WordEmbeddings())


def says(*answers):
    return GenericFakeChatModel(messages=iter([AIMessage(answer) for answer in answers]))


def joined(documents):
    return "; ".join(document.page_content for document in documents)


def rag_chain(store, llm, seen):
    """The chain of LangChain's RAG tutorial; `seen` collects the prompts."""
    prompt = ChatPromptTemplate.from_template("Context: {context}\nQuestion: {question}")
    retriever = store.as_retriever(search_kwargs={"k": 2})
    return (
        {"context": retriever | joined, "question": RunnablePassthrough()}
        | prompt
        | RunnableLambda(lambda value: seen.append(value.to_string()) or value)
        | llm
        | StrOutputParser()
    )


PROMPT = "Human: Context: the tower is tall; a river is wide\nQuestion: tall tower is what"


def test_a_rag_chain_answers_from_the_retrieved_documents(store):
    seen = []
    chain = rag_chain(store, says("It is tall."), seen)
    assert chain.invoke("tall tower is what") == "It is tall."
    assert seen == [PROMPT]


async def test_a_rag_chain_runs_async_batched_and_streamed(store):
    seen = []
    chain = rag_chain(store, says("one", "two", "three", "four five"), seen)
    assert await chain.ainvoke("tall tower is what") == "one"
    assert sorted(chain.batch(["tall tower is what"] * 2)) == ["three", "two"]
    streamed = [chunk async for chunk in chain.astream("tall tower is what")]
    assert "".join(streamed) == "four five"
    assert seen == [PROMPT] * 4


def test_several_questions_for_one_find_the_union(store):
    ask = (
        ChatPromptTemplate.from_template("Rephrase: {question}")
        | says("tall tower\nwide river")
        | StrOutputParser()
        | str.splitlines
    )

    def union(answers):
        return list({d.id: d for documents in answers for d in documents}.values())

    chain = ask | store.as_retriever(search_kwargs={"k": 1}).map() | union
    assert [document.id for document in chain.invoke({"question": "?"})] == ["tower", "river"]


def test_small_chunks_lead_to_their_whole_documents(store_class):
    wholes = {name: Document(id=name, page_content=f"{text}. more") for name, text in FACTS.items()}
    parents = InMemoryStore()
    parents.mset(list(wholes.items()))
    chunks = store_class(WordEmbeddings(size=64))
    for name, whole in wholes.items():
        chunks.add_documents(
            [
                Document(id=str(uuid.uuid4()), page_content=part, metadata={"parent": name})
                for part in whole.page_content.split(".")
            ]
        )
    retriever = chunks.as_retriever(search_type="mmr", search_kwargs={"k": 1, "fetch_k": 5})
    chain = retriever | (lambda found: parents.mget([d.metadata["parent"] for d in found]))
    assert chain.invoke("wide river") == [wholes["river"]]


def test_a_retriever_that_is_configured_at_run_time(store):
    from langchain_core.runnables import ConfigurableField

    retriever = store.as_retriever(search_kwargs={"k": 1}).configurable_fields(
        search_kwargs=ConfigurableField(id="search_kwargs")
    )
    assert len(retriever.invoke("tower")) == 1
    three = {"configurable": {"search_kwargs": {"k": 3}}}
    assert len(retriever.invoke("tower", config=three)) == 3


OLD = [Document(page_content=text, metadata={"source": name}) for name, text in FACTS.items()]
NEW = [*OLD[1:], Document(page_content="a new bridge", metadata={"source": "bridge"})]


class TestIndexingApi:
    """`langchain_core.indexing`: adds what is new, skips what is known, deletes what is gone."""

    @pytest.fixture
    def records(self):
        manager = InMemoryRecordManager("test")
        manager.create_schema()
        return manager

    def contents(self, store):
        return sorted(d.page_content for d in store.similarity_search("the", k=99))

    def test_full_cleanup(self, store_class, records):
        store = store_class(WordEmbeddings())
        options = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}

        def run(documents, **more):
            result = index(documents, records, store, **options, **more)
            return tuple(
                result[f"num_{what}"] for what in ("added", "updated", "skipped", "deleted")
            )

        assert run(OLD) == (4, 0, 0, 0)
        assert run(OLD) == (0, 0, 4, 0)
        assert run(NEW) == (1, 0, 3, 1)
        assert self.contents(store) == sorted(d.page_content for d in NEW)
        assert run(NEW, force_update=True) == (0, 4, 0, 0)
        assert self.contents(store) == sorted(d.page_content for d in NEW)
        assert run([]) == (0, 0, 0, 4)
        assert self.contents(store) == []

    async def test_incremental_cleanup_async(self, store_class, records):
        store = store_class(WordEmbeddings())
        options = {"cleanup": "incremental", "source_id_key": "source", "key_encoder": "sha256"}
        await aindex(OLD, records, store, **options)
        await aindex(NEW[-1:], records, store, **options)
        expected = [d.page_content for d in OLD if d.metadata["source"] != "bridge"]
        assert self.contents(store) == sorted([*expected, "a new bridge"])
