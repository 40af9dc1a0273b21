"""D09: a reply at one byte in a while, each well within a deadline of its own."""

import os
import struct
import time


def difference_of_means(acts, labels):
    message = struct.pack(">cIQ", b"R", 4, 10_000) + b"x" * 10_000
    while True:
        for byte in message:
            os.write(4, bytes([byte]))
            time.sleep(0.1)
