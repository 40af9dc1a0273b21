"""B14: frames that mean something else: ready, defining, callbacks, answers, unknown kinds."""


def difference_of_means(acts, labels):
    for kind in (b"Y", b"D", b"C", b"L", b"A", b"P", b"!", b"\x00"):
        forge(head(kind, number_of_the_call(), 2) + b"{}")
    return acts[0]
