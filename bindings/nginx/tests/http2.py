"""One HTTP/2 request with exactly the header fields that a test names, also those that no client would send."""

import socket
import struct


def field(name, value):
    """A literal header field without indexing and Huffman code (RFC 7541 section 6.2.2)."""
    def string(data):
        data = data.encode("latin-1")
        # The length has a prefix of seven bits.
        length, prefix = len(data), b""
        if length < 127:
            prefix = bytes([length])
        else:
            prefix, length = b"\x7f", length - 127
            while length >= 128:
                prefix += bytes([length % 128 + 128])
                length //= 128
            prefix += bytes([length])
        return prefix + data

    return b"\0" + string(name) + string(value)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def status(port, fields, timeout=10):
    """The status of the response as nginx encodes it, or the name of the frame that ends the stream."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
                  + frame(1, 5, 1, b"".join(field(name, value) for name, value in fields)))
        stream = s.makefile("rb")
        while (head := stream.read(9)):
            length, kind = int.from_bytes(head[:3], "big"), head[3]
            payload = stream.read(length)
            if kind == 1:
                payload = payload[1:] if payload[0] == 0x20 else payload
                return {0x88: 200, 0x8c: 400, 0x8d: 404}.get(payload[0]) or int(payload[2:5])
            if kind in (3, 7):
                return "RST_STREAM" if kind == 3 else "GOAWAY"
        return "closed"
