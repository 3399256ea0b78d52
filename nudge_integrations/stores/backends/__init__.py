"""One file a vector store."""
