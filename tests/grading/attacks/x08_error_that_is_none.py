"""X08: an error description that has not the form of one."""


def difference_of_means(acts, labels):
    error = b'{"!": "dict", "items": [["kinds", [["ValueError"]]], ["message", 7], ["line", "x"]]}'
    forge_reply(with_header(b'{"!": "dict", "items": [["error", ' + error + b"]]}"))
