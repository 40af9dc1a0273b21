"""What several attacks use: it stands before the definitions of each."""

import os
import struct
import sys


def number_of_the_call():
    """The number that the reply must bear: the worker's loop, up the stack, knows it."""
    here = sys._getframe()
    while "frame" not in here.f_locals:
        here = here.f_back
    return here.f_locals["frame"].number


def head(kind, number, size):
    return struct.pack(">cIQ", kind, number, size)


def forge(*pieces):
    """Write to every descriptor that takes it, in pieces that a pipe holds."""
    for descriptor in range(3, 32):
        try:
            for piece in pieces:
                for start in range(0, len(piece), 65_536):
                    os.write(descriptor, piece[start : start + 65_536])
        except OSError:
            continue


def forge_reply(message):
    forge(head(b"R", number_of_the_call(), len(message)) + message)


def with_header(json):
    return len(json).to_bytes(8, "big") + json
