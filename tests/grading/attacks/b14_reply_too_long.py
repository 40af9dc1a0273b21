"""B14: a reply whose length says that it will be enormous."""


def difference_of_means(acts, labels):
    forge(head(b"R", number_of_the_call(), 1 << 62) + b"x" * 4096)
    return acts[0]
