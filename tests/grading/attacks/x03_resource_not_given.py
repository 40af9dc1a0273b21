"""X03: name a model that this check has not passed, so that the grader builds it and uses its own."""


def difference_of_means(acts, labels):
    resource = b'{"!": "resource", "name": "tiny_model_scaled_norm"}'
    forge_reply(with_header(b'{"!": "dict", "items": [["value", ' + resource + b"]]}"))
