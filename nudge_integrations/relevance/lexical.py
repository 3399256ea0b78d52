"""Words that texts share: BM25 for searching, and overlap for finding the same passage again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff]|[^\W_]+")
_K1, _B = 1.2, 0.75

Floats = npt.NDArray[np.float64]


def words_of(text: str) -> list[str]:
    """The words of a text, case-folded; every Chinese, Japanese or Korean character is one."""
    return _WORD.findall(text.casefold())


class Lexical:
    """An index of words over texts.

    Args:
        texts: `n` texts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        from scipy.sparse import csr_array

        counts = [Counter(words_of(text)) for text in texts]
        self._columns: dict[str, int] = {}
        for each in counts:
            for word in each:
                self._columns.setdefault(word, len(self._columns))
        rows = np.repeat(np.arange(len(counts)), [len(each) for each in counts])
        columns = [self._columns[word] for each in counts for word in each]
        values = [count for each in counts for count in each.values()]
        shape = (len(counts), len(self._columns))
        matrix = csr_array((np.asarray(values, np.float64), (rows, columns)), shape=shape)
        documents = np.bincount(np.asarray(columns, np.int64), minlength=shape[1])
        # Lucene's BM25: no word weighs less than nothing.
        self._idf = np.log1p((shape[0] - documents + 0.5) / (documents + 0.5))
        lengths = np.asarray(matrix.sum(axis=1)).ravel()
        norm = _K1 * (1 - _B + _B * lengths / max(lengths.mean() if len(lengths) else 1, 1e-9))
        saturated = matrix.copy()
        saturated.data = (
            matrix.data * (_K1 + 1) / (matrix.data + np.repeat(norm, np.diff(matrix.indptr)))
        )
        present = matrix.copy()
        present.data = np.ones_like(matrix.data)
        self._saturated, self._present = saturated.tocsc(), present.tocsc()
        self._weights = present @ self._idf

    def search(self, query: str, k: int) -> list[int]:
        """Rows of the texts with the `k` highest BM25 scores, best first; only those above 0."""
        columns = self._known(query)
        if not columns:
            return []
        scores = self._saturated[:, columns] @ self._idf[columns]
        best = np.argsort(-scores, kind="stable")[:k]
        return [int(row) for row in best if scores[row] > 0]

    def overlap(self, text: str) -> Floats:
        """How much of the shorter of two texts stands in the other one, by weight of its words.

        Returns:
            Shape `(n,)`, from 0 to 1. A text that is much shorter than the given one stays below.
        """
        columns = self._known(text)
        unknown = len(dict.fromkeys(words_of(text))) - len(columns)
        own = self._idf[columns].sum() + unknown * (self._idf.max() if len(self._idf) else 1)
        shared = self._present[:, columns] @ self._idf[columns]
        found: Floats = shared / np.maximum(np.minimum(self._weights, own), own / 4 + 1e-9)
        return found

    def _known(self, text: str) -> Sequence[int]:
        return [
            self._columns[each] for each in dict.fromkeys(words_of(text)) if each in self._columns
        ]
