"""Generates questions about 400 documents, until it is killed or done.

python asker.py URL CHECKPOINT OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_models import langchain_model, text_of

from nudge_integrations import generate_questions

if __name__ == "__main__":
    url, checkpoint, out = sys.argv[1:]
    documents = {f"d{place:03d}": text_of(place) for place in range(400)}
    llm = langchain_model(url)
    found = generate_questions(documents, llm, checkpoint=checkpoint, show_progress=False)
    found.dataset.to_beir(Path(out))
