"""Small stand-ins: an embedding model one can reason about, and what a run produced."""

import numpy as np
from langchain_core.embeddings import Embeddings

from nudge_integrations.common.files import text_hash
from nudge_integrations.embedding import ModelFingerprint
from nudge_integrations.tuning.tuned import TunedVectors


class WordEmbeddings(Embeddings):
    """One dimension a word, in the order in which words are met; unit length.

    `calls` holds what was asked, and through which method.
    """

    def __init__(self, size=32):
        self.size = size
        self.words = {}
        self.calls = []

    def _embed(self, text):
        vector = np.zeros(self.size)
        for word in text.lower().split():
            vector[self.words.setdefault(word, len(self.words))] += 1
        return (vector / np.linalg.norm(vector)).tolist()

    def embed_query(self, text):
        self.calls.append(("embed_query", text))
        return self._embed(text)

    def embed_documents(self, texts):
        self.calls.append(("embed_documents", list(texts)))
        return [self._embed(text) for text in texts]

    async def aembed_query(self, text):
        self.calls.append(("aembed_query", text))
        return self._embed(text)

    async def aembed_documents(self, texts):
        self.calls.append(("aembed_documents", list(texts)))
        return [self._embed(text) for text in texts]


class TableEmbeddings(Embeddings):
    """Vectors by text, given."""

    def __init__(self, vectors):
        self.vectors = {text: np.asarray(vector).tolist() for text, vector in vectors.items()}

    def embed_query(self, text):
        return self.vectors[text]

    def embed_documents(self, texts):
        return [self.vectors[text] for text in texts]


class Tuned(TunedVectors):
    """What a run produced over a few texts, for which any model is the right one."""

    def __init__(self, ids, texts, originals, vectors, method="nudge-n"):
        super().__init__(
            ids=tuple(ids),
            vectors=vectors,
            originals=originals,
            text_hashes=tuple(text_hash(text) for text in texts),
            metric="dot" if method == "nudge-m" else "cosine",
            method=method,
            step=0.5,
            model=ModelFingerprint("any", None, np.ones(vectors.shape[1])),
        )

    def check_model(self, model):
        """See `tests/test_model_check.py`."""
