"""The public names: moving files about must not take one away."""

from __future__ import annotations

import importlib

import pytest

# Every name that could be imported before the first change of layout. Add to it, never remove.
PUBLIC = {
    "nudge_integrations": """
        Embedder EvaluationReport NudgeC NudgeM NudgeN QuestionFilters RelevanceDataset Scores
        TunedVectors agenerate_questions compare evaluate evaluate_rankings evaluate_run
        generate_questions judge_queries search
    """,
    "nudge_integrations.demo": """
        demo_datasets run_demo
    """,
    "nudge_integrations.embedding": """
        DEFAULT_MODEL Embedder Encoder ModelFingerprint as_embedder as_encoder
        load_sentence_transformer
    """,
    "nudge_integrations.errors": """
        CorruptFileError DataError LeakError MetricMismatchError MissingExtraError
        ModelMismatchError NotFinetunedError NudgeError ReadOnlyStoreError StoreBusyError
        StoreError UnsupportedStoreError
    """,
    "nudge_integrations.evaluation": """
        DEFAULT_METRICS EvaluationReport METRIC_NAMES Metric PairedTest QueryChange QueryTotals
        RankedDocument ReportRow Scores check_retrieved check_retriever compare evaluate
        evaluate_rankings evaluate_run first_answer_rank paired_test parse_metric score_rankings
        search with_rankings
    """,
    "nudge_integrations.langchain": """
        NudgeEmbeddings NudgeFinetuneEngine NudgeRetriever NudgeVectorStore
        TracedRetriever aevaluate_retriever evaluate_retriever
    """,
    "nudge_integrations.llama_index": """
        NudgeEmbedding NudgeFinetuneEngine NudgeRetriever NudgeVectorStore
        TracedRetriever aevaluate_retriever evaluate_retriever
    """,
    "nudge_integrations.methods": """
        Fit Judgments Method NudgeC NudgeM NudgeN get_method
    """,
    "nudge_integrations.questions": """
        CallOptions GeneratedQuestions KINDS QuestionFilters QuestionReport agenerate_questions
        JudgedQueries generate_questions judge_queries near_duplicates train_and_test
    """,
    "nudge_integrations.relevance": """
        FeedbackOptions Leak MatchReport RelevanceDataset check_leaks leaks question_key
        rows_from_langsmith rows_from_phoenix text_key
    """,
    "nudge_integrations.stores": """
        LiveStore Outcome Plan PlanReport Status atune export_journal import_journal open_store
        recover revert status tune
    """,
}


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_where_it_was(module: str) -> None:
    package = importlib.import_module(module)
    names = PUBLIC[module].split()

    assert names
    assert [name for name in names if not hasattr(package, name)] == []
    if hasattr(package, "__all__"):
        assert set(names) <= set(package.__all__)
