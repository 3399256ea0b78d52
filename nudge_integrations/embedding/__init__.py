"""Texts to vectors: any embedding model, batched, cached on disk, resumable, with progress.

Importing this loads no torch and no framework; a model brings its own library with it.
"""

from __future__ import annotations

from nudge_integrations.embedding.embedder import Embedder, as_embedder
from nudge_integrations.embedding.encoder import Encoder, ModelFingerprint
from nudge_integrations.embedding.encoders import as_encoder
from nudge_integrations.embedding.hub import DEFAULT_MODEL, load_sentence_transformer

__all__ = [
    "DEFAULT_MODEL",
    "Embedder",
    "Encoder",
    "ModelFingerprint",
    "as_embedder",
    "as_encoder",
    "load_sentence_transformer",
]
