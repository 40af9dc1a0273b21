"""C08: a shell without a notebook's magics."""

import os
import subprocess


def difference_of_means(acts, labels):
    done = []
    for action in (
        lambda: subprocess.check_output("id", shell=True),
        lambda: subprocess.check_output(["/usr/bin/id"]),
        lambda: os.execv("/bin/sh", ["sh", "-c", "id"]),
    ):
        try:
            done.append(action())
        except OSError:
            continue
    raise ValueError(f"ran {len(done)} shells")
