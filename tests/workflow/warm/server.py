"""Jobs by the dozen: what stages import is imported once, and each `python -m earmark` is a fork of that process.

Listens on the socket that its argument names. The client beside it, `sitecustomize.py`, gives it a job's open files,
arguments, folder and environment, and gets the exit status. Ends when its input does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys

from earmark.plan.stages import STAGES

DESCRIPTORS = 4
MOST_BYTES = 1 << 22


def load() -> None:
    """Import what stages import; not the package, of which every project has its own."""
    for stage in STAGES:
        importlib.import_module(f"earmark.stages.{stage}")
    for name in ("zennit.core", "librosa.decompose", "sklearn.cluster", "matplotlib.backends.backend_pdf"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] == "earmark"]:
        del sys.modules[name]
    gc.freeze()


def answer(call: socket.socket) -> None:
    """Run a job in a process of its own, and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, descriptors, _, _ = socket.recv_fds(call, MOST_BYTES, DESCRIPTORS)
    while not text.endswith(b"\n"):
        text += call.recv(MOST_BYTES)
    child = os.fork()
    if child == 0:
        be(descriptors, *json.loads(text))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    call.sendall(f"{status}\n".encode())
    os._exit(0)


def be(descriptors: list[int], arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be `python -m earmark`."""
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = [folder, *environment["PYTHONPATH"].split(os.pathsep)]
    sys.argv[1:] = arguments
    runpy.run_module("earmark", run_name="__main__", alter_sys=True)
    sys.exit(0)


def serve(path: str) -> None:
    """Answer calls until nobody is left to call; the socket's folder goes then, too."""
    load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as waiting:
        listening.bind(path)
        listening.listen()
        print("ready", flush=True)
        for source in (listening, sys.stdin):
            waiting.register(source, selectors.EVENT_READ)
        while all(key.fileobj is listening for key, _ in waiting.select()):
            call, _ = listening.accept()
            if os.fork() == 0:
                answer(call)
            call.close()
    shutil.rmtree(os.path.dirname(path))


if __name__ == "__main__":
    serve(sys.argv[1])
