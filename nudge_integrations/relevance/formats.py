"""Read and write datasets: other objects, BEIR, LlamaIndex's JSON, tables, feedback logs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nudge_integrations.errors import DataError
from nudge_integrations.relevance.beir import read_beir, write_beir
from nudge_integrations.relevance.feedback import FeedbackOptions, read_feedback
from nudge_integrations.relevance.llama_index_json import fields_of, read_json, write_json
from nudge_integrations.relevance.pairs import MatchReport, read_pairs
from nudge_integrations.relevance.tables import OnError

if TYPE_CHECKING:
    from typing_extensions import Self


class Formats:
    """The readers and writers of `RelevanceDataset`."""

    queries: Mapping[str, str]
    corpus: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    match_report: MatchReport | None = None
    """How the answers of `from_pairs` were found; None for other datasets."""

    if TYPE_CHECKING:

        def __init__(self, queries: Any, corpus: Any, qrels: Any) -> None: ...

    @classmethod
    def coerce(cls, source: Any) -> Self:
        """Make a dataset out of whatever holds one.

        Args:
            source: A `RelevanceDataset` (returned as it is), or a mapping or an object with
                `queries`, `corpus` (may be absent), and `qrels` or `relevant_docs`, such as
                LlamaIndex's `EmbeddingQAFinetuneDataset`.

        Raises:
            DataError: `source` is none of these, or its content is bad.
        """
        return source if isinstance(source, cls) else cls(*fields_of(source))

    @classmethod
    def from_beir(
        cls,
        folder: str | os.PathLike[str],
        split: str = "train",
        corpus: bool = True,
        on_error: OnError = "raise",
    ) -> Self:
        """Read one split of a data set in the layout of BEIR.

        Args:
            folder: Holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`,
                `text`) and `qrels/SPLIT.tsv` (query id, document id, grade; with or without a
                header). A document with a title becomes `(title + " " + text).strip()`.
            split: Name of the split; only its queries are kept. Negative grades become 0.
            corpus: Whether to read the documents; without, the dataset is judgments only.
            on_error: `"skip"` leaves out documents and queries without text, and judgments of
                unknown ones, as official data sets hold them (FiQA, ArguAna, NFCorpus); a warning
                says how many.

        Raises:
            DataError: A file is missing or bad. The file and the line are named.
        """
        return cls(*read_beir(folder, split, corpus, on_error))

    def to_beir(self, folder: str | os.PathLike[str], split: str = "train") -> None:
        """Write one split in the layout of BEIR; `from_beir` reads the same dataset again.

        Several splits can share a folder: queries and documents that it does not have yet are
        added, and lines that are there stay. Each file is replaced atomically. A query without
        any judgment belongs to no split (a warning is logged).

        Args:
            folder: Made if need be.
            split: Name of the split; an older one of that name is replaced.

        Raises:
            DataError: An id holds a tab or a line break, or the folder has another text for an
                id. Nothing was written.
            NudgeError: The folder cannot be written to.
        """
        write_beir(folder, split, self.queries, self.corpus, self.qrels)

    @classmethod
    def from_llama_index(cls, source: Any) -> Self:
        """Read LlamaIndex's `EmbeddingQAFinetuneDataset`: its JSON, or the object.

        Args:
            source: Path of the JSON, or anything that `coerce` takes. `mode` is ignored.

        Raises:
            DataError: The file is missing, its JSON broken (the line is named), or its content bad.
        """
        if not isinstance(source, (str, os.PathLike)):
            return cls.coerce(source)
        path = Path(source)
        content = read_json(path)
        try:
            return cls.coerce(content)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    @classmethod
    def from_pairs(
        cls,
        source: Any,
        match: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        field: str | None = None,
        threshold: float = 0.6,
        embed_model: Any = None,
        on_error: OnError = "raise",
    ) -> Self:
        """Read a table of questions and answers, and find the documents that the answers are.

        An answer is the id of a document, the name of its file (or other metadata), its text, or a
        list of these. If a file has several documents, the one that fits the question best is
        taken. `match_report` of the dataset says how each answer was found, and which were not.

        Examples:
            >>> from nudge_integrations import RelevanceDataset
            >>> data = RelevanceDataset.from_pairs(
            ...     [{"question": "How do I undo?", "answer": "revert() restores  the ORIGINALS."}],
            ...     match={"d1": "revert() restores the originals.", "d2": "It takes seconds."},
            ... )
            >>> print(data.match_report)
            1 pairs; read 'question' as the question, 'answer' as the answer (text)
                   1 matched by text but for case and spaces

        Args:
            source: A `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet` file, a data frame, or rows
                (mappings). The columns are guessed from their names; a column with grades is
                optional.
            match: Where to look: whatever `nudge_integrations.stores.open_store` opens, a list of
                LangChain documents or LlamaIndex nodes, or a mapping from id to text. By default
                answers are ids, or, if they are texts, become the corpus.
            columns: `question`, `answer` or `grade` -> name of that column.
            field: Metadata that answers name; left out: the usual ones, such as `source`.
            threshold: Least overlap of words, above 0 and at most 1, from which on an answer that
                is not the whole text of a document counts as a part of it.
            embed_model: The embedding model that chooses among the documents of a file; by default
                shared words decide.
            on_error: `"skip"` leaves out rows without a question or an answer, and counts them.

        Raises:
            DataError: A file or row that cannot be read (it is named), columns that cannot be
                guessed, or not one answer was found.
        """
        *parts, report = read_pairs(
            source, match, columns or {}, field, threshold, embed_model, on_error
        )
        data = cls(*parts)
        object.__setattr__(data, "match_report", report)
        return data

    @classmethod
    def from_feedback(
        cls,
        source: Any,
        corpus: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """Turn what people clicked, liked and disliked into judgments.

        Signals on the same question (see `text_key`) and document add up, each with its weight,
        and the sum decides the grade. A question has the spelling that was most frequent; its id
        is a hash of its text.

        Examples:
            >>> from nudge_integrations import RelevanceDataset
            >>> data = RelevanceDataset.from_feedback(
            ...     [
            ...         {"query": "undo it", "document_id": "a", "signal": "thumbs_up"},
            ...         {"query": "Undo  it", "document_id": "b", "signal": "click"},
            ...     ]
            ... )
            >>> [dict(judged) for judged in data.qrels.values()]
            [{'a': 1}]

        Args:
            source: Rows (mappings), or a `.jsonl`, `.csv` or `.tsv` file of them, with the
                columns `query`, `document_id`, `signal` and, for a decay, `time` (ISO 8601,
                seconds, or a datetime). A signal is a name such as `thumbs_up` or `click`, or a
                number. Traces: `rows_from_langsmith`, `rows_from_phoenix`.
            corpus: Document id -> text. Feedback on documents that are not in it is left out, and
                a warning logged. Left out: judgments only.
            **options: `weights`, `thresholds`, `min_support`, `half_life_days`, `now`, `scrub`,
                `columns`: see `FeedbackOptions`.

        Raises:
            DataError: A row that cannot be read (it is named), or no answer at all.
        """
        return cls(*read_feedback(source, corpus or {}, FeedbackOptions(**options)))

    def to_llama_index(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON that LlamaIndex's `EmbeddingQAFinetuneDataset.from_json` reads.

        The format knows answers only: grades, judgments of grade 0 and queries without an answer
        are lost (a warning is logged). Answers stand best first.

        Args:
            path: Where to write, atomically. Its folder is made if need be.

        Raises:
            NudgeError: The folder cannot be written to.
        """
        write_json(path, self.queries, self.corpus, self.qrels)
