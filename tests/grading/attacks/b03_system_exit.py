"""B03: raise what `except Exception` lets through."""


def difference_of_means(acts, labels):
    raise SystemExit(0)
