"""B14: JSON nested so deeply that a recursive reader falls."""


def difference_of_means(acts, labels):
    forge_reply(with_header(b"[" * 1_000_000 + b"]" * 1_000_000))
    return acts[0]
