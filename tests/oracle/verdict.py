# SPDX-License-Identifier: BSD-3-Clause
"""What became of a case, in words that both sides can be held against."""

import collections
import zlib

from guest import Header

NO_HEADER = Header(0, 0, 0, 0, 0, 0)

Run = collections.namedtuple("Run", "n length header digest")
"""Frames in a row that have the same length and the same virtio_net_hdr, and a digest of their bytes."""

Verdict = collections.namedtuple("Verdict", "reason runs")
"""Why something was dropped (None: nothing was), and the frames that came out, in order."""


def comparable(frame):
    """A frame without what nobody can foretell: the asker's destination address, an IPv6 fragment's identification."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    if frame[at : at + 2] == b"\x86\xdd":
        kind, at = at + 2 + 6, at + 2 + 40
        while at + 8 <= len(frame) and frame[kind] in (0, 43, 44, 60):
            if frame[kind] == 44:
                return frame[6 : at + 4] + bytes(4) + frame[at + 8 :]
            kind, at = at, at + 8 * (frame[at + 1] + 1)
    return frame[6:]


def runs_of(frames):
    """Runs of [(bytes, Header), ...]."""
    runs = []
    for data, header in frames:
        last = runs[-1] if runs else None
        if last and (last.length, last.header) == (len(data), header):
            runs[-1] = last._replace(n=last.n + 1, digest=zlib.crc32(comparable(data), last.digest))
        else:
            runs.append(Run(1, len(data), header, zlib.crc32(comparable(data))))
    return runs


def write_runs(runs):
    """Runs as one word each: what read_runs() reads."""
    return " ".join(f"{run.n}x{run.length}/{'.'.join(map(str, run.header))}/{run.digest:08x}" for run in runs)


def read_runs(text):
    """The runs that write_runs() wrote."""
    runs = []
    for word in text.split():
        size, header, digest = word.split("/")
        n, length = map(int, size.split("x"))
        runs.append(Run(n, length, Header(*map(int, header.split("."))), int(digest, 16)))
    return runs


def shown(verdict):
    """A verdict for the person who looks at a difference."""
    frames = ", ".join(f"{run.n} x {run.length} bytes"
                       + (f" {tuple(run.header)}" if run.header != NO_HEADER else "") + f" #{run.digest:08x}"
                       for run in verdict.runs)
    return f"{verdict.reason or 'delivered'}: {frames or 'nothing'}"
