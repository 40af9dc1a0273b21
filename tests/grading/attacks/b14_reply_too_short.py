"""B14: a length that cuts the message short, so that its rest is read as the next."""


def difference_of_means(acts, labels):
    forge(head(b"R", number_of_the_call(), 3) + b"\x00" * 64)
    return acts[0]
