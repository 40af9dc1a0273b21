"""B14: answers to all the calls to come, before they are made."""


def difference_of_means(acts, labels):
    message = with_header(b'{"!": "dict", "items": [["value", true]]}')
    now = number_of_the_call()
    forge(*[head(b"R", number, len(message)) + message for number in range(now, now + 40)])
    return acts[0]
