"""D01: a number with billions of digits."""


def difference_of_means(acts, labels):
    return 7 ** (7**12)
