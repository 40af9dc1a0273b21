"""B14: a reply of which only half ever comes."""

import time


def difference_of_means(acts, labels):
    forge(head(b"R", number_of_the_call(), 1 << 20) + b"x" * 1024)
    while True:
        time.sleep(1)
