"""X02: hand back the grader's own function, by a tag that the worker itself makes up."""

import json
import os
import struct


def difference_of_means(acts, labels):
    value = {"!": "dict", "items": [["value", {"!": "callback", "id": -1}]]}
    header = json.dumps(value).encode()
    message = len(header).to_bytes(8, "big") + header
    for number in range(1, 40):
        os.write(4, struct.pack(">cIQ", b"R", number, len(message)) + message)
