"""A07: look for what another submission has left: in files, in processes, in memory."""

import gc
import os

SYSTEM = ("/usr", "/root", "/sys")


def look(backwards):
    secret, found = backwards[::-1], []
    for folder, folders, files in os.walk("/"):
        if folder.startswith(SYSTEM) or "site-packages" in folder:
            folders.clear()
            continue
        for name in files:
            path = os.path.join(folder, name)
            # These are not files to be read, and one's own memory holds the secret that is looked for.
            if name in ("mem", "pagemap", "clear_refs", "full", "zero", "random", "urandom"):
                continue
            try:
                with open(path, "rb") as file:
                    if secret.encode() in file.read(1 << 20):
                        found.append(path)
            except OSError:
                continue
    gc.unfreeze()
    for thing in gc.get_objects():
        # Not isinstance, for which some lazy modules import what is not there.
        if type(thing) is dict and any(type(v) is str and v == secret for v in list(thing.values())):
            found.append("memory")
    return found, [pid for pid in os.listdir("/proc") if pid.isdigit()]
