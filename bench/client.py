"""client.py - a small HTTP/1.1 client that does an exact number of calls.

wrk counts what happened in a time; callgrind and the memory rows need to say
beforehand what is to happen. Replies must have a Content-Length.
"""

import select
import socket


class Failed(Exception):
    pass


def request(path, method="GET", headers=(), body=b""):
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: localhost"]
    lines += headers
    if body:
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _length_of_reply(data):
    """Bytes of the reply that data begins with, None if the head lacks."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    if lines[0].split(b" ")[1:2] != [b"200"]:
        raise Failed("not 200 but " + lines[0].decode(errors="replace"))
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return end + 4 + int(value)
    raise Failed("a reply without Content-Length")


class Connection:
    """Blocking for one call(), not blocking inside run()."""

    def __init__(self, address, timeout=60, tls=None):
        self.sock = socket.create_connection(address, timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.data = b""

    def receive(self):
        """True once the whole reply is there."""
        got = self.sock.recv(262144)
        if not got:
            raise Failed("the connection was closed before the reply's end")
        self.data += got
        length = _length_of_reply(self.data)
        if length is None or len(self.data) < length:
            return False
        if len(self.data) > length:
            raise Failed("bytes after the reply")
        self.data = b""
        return True

    def call(self, message):
        self.sock.sendall(message)
        while not self.receive():
            pass

    def close(self):
        self.sock.close()


def run(connections, message, calls, timeout=120):
    """Exactly so many calls, one at a time on each connection."""
    poll = select.epoll()
    by_fd = {c.sock.fileno(): c for c in connections}
    left = calls
    waiting = 0
    for c in connections[:calls]:
        poll.register(c.sock.fileno(), select.EPOLLIN)
        c.sock.sendall(message)
        left -= 1
        waiting += 1
    while waiting:
        events = poll.poll(timeout)
        if not events:
            raise Failed("no reply for %d s" % timeout)
        for fd, _ in events:
            c = by_fd[fd]
            if not c.receive():
                continue
            waiting -= 1
            if left:
                c.sock.sendall(message)
                left -= 1
                waiting += 1
    poll.close()
