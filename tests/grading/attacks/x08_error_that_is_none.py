"""X08: an error description that has not the form of one."""

import json
import os
import struct


def difference_of_means(acts, labels):
    error = {"!": "dict", "items": [["kinds", [["ValueError"]]], ["message", 7], ["line", "x"]]}
    header = json.dumps({"!": "dict", "items": [["error", error]]}).encode()
    message = len(header).to_bytes(8, "big") + header
    for number in range(1, 40):
        os.write(4, struct.pack(">cIQ", b"R", number, len(message)) + message)
