"""LangChain's own standard tests, as they are."""

from typing import ClassVar

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from nudge_integrations.langchain.embeddings import NudgeEmbeddings
from nudge_integrations.langchain.vector_store import NudgeVectorStore


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return NudgeVectorStore(self.get_embeddings())


class TestVectorStoreOverNudgeEmbeddings(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return NudgeVectorStore(NudgeEmbeddings(self.get_embeddings()))


class NudgeEmbeddingsUnderTest:
    @property
    def embeddings_class(self):
        return NudgeEmbeddings

    @property
    def embedding_model_params(self):
        return {"base": DeterministicFakeEmbedding(size=6)}


class TestEmbeddingsUnit(NudgeEmbeddingsUnderTest, EmbeddingsUnitTests):
    pass


class TestEmbeddingsIntegration(NudgeEmbeddingsUnderTest, EmbeddingsIntegrationTests):
    pass


class RetrieverUnderTest(RetrieversIntegrationTests):
    search_type = "similarity"
    search_kwargs: ClassVar = {}

    @property
    def retriever_constructor(self):
        store = NudgeVectorStore(DeterministicFakeEmbedding(size=6))
        store.add_documents([Document(f"document {number}") for number in range(10)])

        def retriever(**search_kwargs):
            kwargs = self.search_kwargs | search_kwargs
            return store.as_retriever(search_type=self.search_type, search_kwargs=kwargs)

        return retriever

    @property
    def retriever_query_example(self):
        return "document 3"


class TestSimilarityRetriever(RetrieverUnderTest):
    pass


class TestMMRRetriever(RetrieverUnderTest):
    search_type = "mmr"


class TestThresholdRetriever(RetrieverUnderTest):
    search_type = "similarity_score_threshold"
    search_kwargs: ClassVar = {"score_threshold": 0.0}
