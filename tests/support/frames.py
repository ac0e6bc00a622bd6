# SPDX-License-Identifier: BSD-3-Clause
"""Ethernet frames whose content tells one from another, and pcap files of them."""

import random
import struct

BROADCAST = b"\xff" * 6
MULTICAST = b"\x33\x33\x00\x00\x00\x01"
ETHERTYPE = 0x88B5
"""IEEE's ethertype for local experiments: nothing else on a test's links uses it."""

_NOISE = random.Random(20220217).randbytes(1 << 17)


def mac(number):
    """A locally administered unicast address."""
    return bytes((0x52, 0x54, 0x00)) + (number & 0xFFFFFF).to_bytes(3, "big")


def text(address):
    """An address as people write it."""
    return ":".join(f"{byte:02x}" for byte in address)


def frame(dst, src, size=60, number=0, ethertype=ETHERTYPE):
    """A frame of `size` bytes (at least 14) whose payload depends on its number and size."""
    start = (number * 61 + size * 7) % (1 << 16)
    payload = struct.pack("!I", number & 0xFFFFFFFF) + _NOISE[start : start + max(size - 18, 0)]
    return (dst + src + struct.pack("!H", ethertype) + payload)[:size]


def write_pcap(path, frames, snap=None):
    """Write frames as a capture file; `snap` cuts what is stored of each."""
    with open(path, "wb") as out:
        out.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snap or 262144, 1))
        for i, data in enumerate(frames):
            stored = data[:snap] if snap else data
            out.write(struct.pack("=IIII", 1, i % 1000000, len(stored), len(data)) + stored)


def read_pcap(path):
    """The frames of a capture file; one that is still being written yields what is complete."""
    with open(path, "rb") as file:
        data = file.read()
    found, at = [], 24
    if len(data) < at:
        return found
    magic = struct.unpack_from("=I", data)[0]
    if magic not in (0xA1B2C3D4, 0xA1B23C4D):
        raise ValueError(f"{path}: not a capture file: {magic:#x}")
    while at + 16 <= len(data):
        stored = struct.unpack_from("=IIII", data, at)[2]
        if at + 16 + stored > len(data):
            break
        found.append(data[at + 16 : at + 16 + stored])
        at += 16 + stored
    return found
