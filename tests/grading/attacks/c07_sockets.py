"""C07: TCP, UDP, name resolution, unix and abstract sockets, netlink, packets."""

import socket

import torch


def difference_of_means(acts, labels):
    reached = []
    kinds = (
        "AF_INET",
        "AF_INET6",
        "AF_UNIX",
        "AF_NETLINK",
        "AF_PACKET",
        "AF_VSOCK",
        "AF_ALG",
        "AF_BLUETOOTH",
    )
    for name in kinds:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(getattr(socket, name, 31), kind).close()
                reached.append(name)
            except OSError:
                continue
    for act in (
        lambda: socket.create_connection(("1.1.1.1", 53), 1),
        lambda: socket.create_connection(("127.0.0.1", 22), 1),
        lambda: socket.gethostbyname("example.org"),
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: torch.distributed.TCPStore("127.0.0.1", 29500, is_master=True, wait_for_workers=False),
    ):
        try:
            act()
            reached.append("a connection")
        except Exception:
            continue
    raise ValueError(f"reached {sorted(set(reached))}")
