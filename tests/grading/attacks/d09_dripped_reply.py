"""D09: a reply at one byte in a while, each well within a deadline of its own."""

import time


def difference_of_means(acts, labels):
    message = head(b"R", number_of_the_call(), 10_000) + b"x" * 10_000
    while True:
        for byte in message:
            forge(bytes([byte]))
            time.sleep(0.1)
