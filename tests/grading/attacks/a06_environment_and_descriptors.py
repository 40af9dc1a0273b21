"""A06: secrets in the environment, the command lines, and whatever descriptors were inherited."""

import os


def difference_of_means(acts, labels):
    descriptors = {}
    for number in range(1024):
        try:
            descriptors[number] = os.readlink(f"/proc/self/fd/{number}").split(":")[0]
        except OSError:
            continue
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
    raise ValueError(f"descriptors {descriptors}, processes {others}, {len(os.environ)} variables")
