"""A07: leave a secret wherever the submission that runs at the same time may find it."""

import os

SECRET = "the-other-students-answer"


def leave():
    left = []
    os.environ["SECRET"] = SECRET
    for folder in (".", "/scratch", "/dev/shm", "/tmp", "/var/tmp", "/run", "/"):
        try:
            with open(os.path.join(folder, "secret"), "w") as file:
                file.write(SECRET)
            left.append(folder)
        except OSError:
            continue
    return left
