"""Small stand-ins: an embedding model one can reason about, and what a run produced."""

from dataclasses import dataclass

import numpy as np
from langchain_core.embeddings import Embeddings

from nudge_integrations.files import text_hash


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


@dataclass
class Tuned:
    """What the integrations use of `TunedVectors`."""

    ids: list
    texts: list
    originals: np.ndarray
    vectors: np.ndarray
    method: str = "nudge-n"
    metric: str = "cosine"

    def lookup(self, text):
        hashes = [text_hash(known) for known in self.texts]
        name = text_hash(text)
        return self.vectors[hashes.index(name)] if name in hashes else None

    def check_model(self, model):
        """Any model is the right one here; see `tests/test_model_check.py`."""
