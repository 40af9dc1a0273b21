"""D04: output without end."""

import os


def difference_of_means(acts, labels):
    while True:
        print("x" * 100_000)
        os.write(1, b"x" * 100_000)
        os.write(2, b"x" * 100_000)
