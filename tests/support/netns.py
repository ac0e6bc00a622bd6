# SPDX-License-Identifier: BSD-3-Clause
"""A network of the kernel's behind a veth pair whose near end dptap takes as its uplink (net_af_packet).

    with Wire() as wire:
        ... --vdev wire.vdev ...
        wire.ping("192.0.2.10")

Offloads are off at both ends: the packet socket of the PMD carries neither partial checksums nor large segments.
IPv6 is off too unless it is asked for, so that no frame travels but those a test sends, and what these cause.
"""

import contextlib
import ctypes
import socket
import subprocess

from testing import Failure, wait_until
from uplink import private_network

ADDRESS = "192.0.2.1"
ADDRESS6 = "2001:db8::1"
MAC = "52:54:00:00:02:01"

ETHERTYPE_EXPERIMENT = 0x88B5
"""IEEE 802's "local experimental": no stack answers it."""

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _without_ipv6(interface):
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        _set_ipv6(interface, "disable_ipv6", 1)


def _set_ipv6(interface, name, value):
    with open(f"/proc/sys/net/ipv6/conf/{interface}/{name}", "w", encoding="ascii") as file:
        file.write(str(value))


def mac_bytes(text):
    """The six bytes of an address such as 52:54:00:00:02:01."""
    return bytes.fromhex(text.replace(":", ""))


class Wire:
    """One veth pair: `near` for dptap, `net0` with ADDRESS at the far end, and ADDRESS6 with `ipv6`.

    Both lie in a network of this process's own, which dies with it; or, with a `namespace`, the near end stays
    where we are and the far end goes into a network namespace of that name.
    """

    def __init__(self, near="dptap-near", namespace=None, ipv6=False):
        self.near = near
        self.namespace = namespace
        self.ipv6 = ipv6
        self.device = "net_af_packet0"
        self.vdev = f"{self.device},iface={near},blocksz=65536,framesz=2048,framecnt=512"
        self.address = ADDRESS
        self.address6 = ADDRESS6
        self.mac = MAC

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Make both ends and wait until frames can pass."""
        if self.namespace:
            _run("ip", "netns", "add", self.namespace)
            with self.inside():
                _without_ipv6("all")
                _without_ipv6("default")
        else:
            private_network()
        self._plug(self.near, "net0")
        self.run("ip", "link", "set", "lo", "up")
        self._address()
        wait_until(lambda: " state UP " in _run("ip", "link", "show", "dev", self.near), f"{self.near} to come up")

    def _plug(self, near, far):
        """A veth pair, its far end where the rest of the network is; both without offloads, the near end up."""
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", far,
             *(("netns", self.namespace) if self.namespace else ()))
        _without_ipv6(near)
        for run, end in ((_run, near), (self.run, far)):
            run("ethtool", "-K", end, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        # the near end belongs to dptap: the kernel itself is to answer nothing there
        _run("ip", "link", "set", near, "arp", "off", "up")

    def _address(self):
        self.run("ip", "link", "set", "net0", "address", self.mac)
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "net0")
        if self.ipv6:
            self._allow_ipv6()
        self.run("ip", "link", "set", "net0", "up")

    def _allow_ipv6(self):
        """An address at once, without asking whether somebody else has it; no router is asked for."""
        with self.inside():
            for name, value in (("accept_dad", 0), ("accept_ra", 0), ("disable_ipv6", 0)):
                _set_ipv6("net0", name, value)
        self.run("ip", "addr", "add", f"{self.address6}/64", "dev", "net0", "nodad")

    def stop(self):
        """Remove both ends; what is not there is no error."""
        commands = [("ip", "link", "del", self.near)]
        if self.namespace:
            commands.append(("ip", "netns", "del", self.namespace))
        for command in commands:
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def run(self, *command):
        """Run a command where the far end is; returns what it printed."""
        with self.inside():
            return _run(*command)

    @contextlib.contextmanager
    def inside(self):
        """Sockets and processes that begin in here belong to the far end."""
        if not self.namespace:
            yield
            return
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.namespace}", "rb") as there:
            self._enter(there)
            try:
                yield
            finally:
                self._enter(home)

    @staticmethod
    def _enter(file):
        if _LIBC.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    # traffic ---------------------------------------------------------------------------------------------------

    def answers(self, address):
        """Whether one ping is answered within a second."""
        command = ["ping", "-n", "-c", "1", "-W", "1", address]
        with self.inside():
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0

    def wait_for(self, address):
        """Ping until the first answer."""
        wait_until(lambda: self.answers(address), f"a ping's answer from {address}", pause=0.05)

    def ping(self, address, count=5, size=56):
        """Ping without fragmentation; every request must be answered."""
        for _ in range(count):
            # one by one: with an answer in its hands ping waits for the last one no longer than two round trips
            self.run("ping", "-n", "-c", "1", "-W", "20", "-s", str(size), "-M", "do", address)

    def converse(self, address, port, data=b"", deadline=60.0):
        """Send data over TCP to someone who begins to listen any moment; returns the answer."""
        with wait_until(lambda: self._connect(address, port), f"a listener at {address} port {port}",
                        pause=0.05) as connection:
            connection.settimeout(deadline)
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while more := connection.recv(65536):
                answer += more
            return bytes(answer)

    def _connect(self, address, port):
        with self.inside():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(5)
        try:
            connection.connect((address, port))
        except OSError:
            connection.close()
            return None
        return connection

    def flood(self, destination, count, received, size=60):
        """Send `count` frames of an ethertype that nobody answers to a MAC address.

        They go out in small groups; after each the flood waits until `received()`, dptap's own count of frames from
        this wire, has followed. So none is lost in the kernel on the way, and all `count` arrive at dptap.
        """
        header = mac_bytes(destination) + mac_bytes(self.mac) + ETHERTYPE_EXPERIMENT.to_bytes(2, "big")
        frame = header.ljust(size, b"\0")
        with self.inside():
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with sender:
            sender.bind(("net0", 0))
            base, sent = received(), 0
            while sent < count:
                for _ in range(min(128, count - sent)):
                    sender.send(frame)
                    sent += 1
                wait_until(lambda: received() - base >= sent, f"{sent} of {count} frames of a flood to arrive", pause=0)


class Switch(Wire):
    """A Linux bridge `net0` with ADDRESS, and a veth pair to it for each of several dptaps: `vdevs` names theirs."""

    def __init__(self, n_ports):
        super().__init__()
        self.nears = [f"{self.near}{number}" for number in range(n_ports)]
        self.vdevs = [self.vdev.replace(f"iface={self.near},", f"iface={near},") for near in self.nears]

    def start(self):
        private_network()
        self.run("ip", "link", "add", "net0", "type", "bridge", "mcast_snooping", "0")
        self._address()
        for number, near in enumerate(self.nears):
            self._plug(near, f"port{number}")
            _without_ipv6(f"port{number}")
            self.run("ip", "link", "set", f"port{number}", "master", "net0", "up")
        wait_until(lambda: " state UP " in self.run("ip", "link", "show", "dev", "net0"), "net0 to come up")

    def stop(self):
        for link in (*self.nears, "net0"):
            subprocess.run(("ip", "link", "del", link), stdin=subprocess.DEVNULL, capture_output=True, check=False)
