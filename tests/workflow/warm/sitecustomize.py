"""Hands `python -m earmark` over to a process that has imported all it needs; Python runs this when it starts."""

import os
import sys

if sys.orig_argv[1:3] == ["-m", "earmark"]:
    import json
    import socket

    there = [number for number in range(4) if os.path.exists(f"/proc/self/fd/{number}")]
    with socket.socket(socket.AF_UNIX) as call:
        call.connect(os.environ["EARMARK_WARM"])
        job = json.dumps([sys.orig_argv[3:], os.getcwd(), dict(os.environ)])
        socket.send_fds(call, [f"{job}\n".encode()], there)
        status = call.makefile().readline()
    os._exit(int(status) if status else 70)
