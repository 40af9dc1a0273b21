"""D08: the same as a list, which JSON makes larger still."""


def difference_of_means(acts, labels):
    return [[]] * 20_000_000
