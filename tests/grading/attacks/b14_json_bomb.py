"""B14: JSON that is small on the wire and huge in memory."""


def difference_of_means(acts, labels):
    forge_reply(with_header(b'{"!": "dict", "items": [["value", [' + b"[]," * 10_000_000 + b"[]]]]}"))
    return acts[0]
