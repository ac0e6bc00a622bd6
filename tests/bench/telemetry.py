# SPDX-License-Identifier: BSD-3-Clause
"""A client of DPDK's telemetry socket."""

import json
import os
import socket

from process import BenchError

LONGEST_ANSWER = 16 * 1024


def socket_path(file_prefix):
    """Where a DPDK process with this --file-prefix listens."""
    return os.path.join("/var/run/dpdk", file_prefix, "dpdk_telemetry.v2")


class Telemetry:
    """One connection to one DPDK process."""

    def __init__(self, file_prefix):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(5)
        try:
            self._socket.connect(socket_path(file_prefix))
            self._socket.recv(LONGEST_ANSWER)  # its greeting: version, pid, longest answer
        except OSError as error:
            self._socket.close()
            raise BenchError(f"telemetry of {file_prefix}: {error}") from error

    def ask(self, command):
        """The answer to a command such as "/dptap/port,vm0"."""
        try:
            self._socket.send(command.encode())
            answer = json.loads(self._socket.recv(LONGEST_ANSWER))
        except (OSError, ValueError) as error:
            raise BenchError(f"telemetry: {command}: {error}") from error
        data = answer.get(command.split(",", maxsplit=1)[0])
        if data is None:
            raise BenchError(f"telemetry: {command}: no answer")
        return data

    def close(self):
        """Hang up."""
        self._socket.close()
