"""D04: an exception whose message has a hundred megabytes, and whose class has a name to match."""


def difference_of_means(acts, labels):
    raise type("E" * 1_000_000, (ValueError,), {})("\x1b[31m<script>alert(1)</script>" * 4_000_000)
