# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's own tap, asked: a macvtap on a veth pair, in a network namespace that dies with this process.

A case is written to the macvtap's file. What becomes of it, this process sees without waiting: the drops that happen
within write() are in a private trace instance between two markers that stand around the case, and the frames that
the veth sends are in a packet socket on it when write() returns. Frames go out as the veth's features want them:
as they came (all offloads), or cut and with their checksums done (none).
"""

import collections
import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import re
import shutil
import socket
import stat
import struct
import subprocess
import tempfile

from guest import read_header
from testing import Failure, Skip
from uplink import private_network
from verdict import runs_of

NEAR, FAR, MACVTAP = "oracle-near", "oracle-far", "oracle-tap"
EVENT = "events/skb/kfree_skb"

MTU = 1500
"""The veth's; its far end refuses what is longer."""
TOO_LONG = "NOT_SPECIFIED@__dev_forward_skb2"
"""How the veth's far end refuses a frame for its length."""

PEERS_OWN = ("__netif_receive_skb", "enqueue_to_backlog", "ip_", "ip6_", "ipv6_", "icmp", "arp_", "llc_", "packet_rcv",
             "tpacket_rcv", "nf_hook", "skb_vlan_untag")
"""Places where the stack behind the veth's far end drops what nobody there wants: no part of the verdict."""
PEERS_REASONS = ("OTHERHOST", "UNHANDLED_PROTO", "IP_INHDR", "IP_CSUM", "NOT_IP4", "NOT_IP6")

_BATCH = 256
_CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
_LIBC = ctypes.CDLL(None, use_errno=True)
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_VNET_HDR = 263, 6, 15
_SO_RCVBUFFORCE = 33
_ETH_P_ALL = 3
_TUNSETIFF, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x2, 0x1000, 0x4000

Answer = collections.namedtuple("Answer", "errno drops runs")
"""errno of write() by name or "OK"; drops as ["REASON@place", ...]; what came out as verdict.runs_of() has it."""


@contextlib.contextmanager
def _lacking(what):
    """Skip if the block fails because this machine has no such thing, or does not let us."""
    try:
        yield
    except OSError as err:
        if err.errno not in (errno.EPERM, errno.EACCES, errno.ENODEV, errno.ENOENT, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        raise Skip(f"no {what}: {os.strerror(err.errno)}") from err


class _Mounts:
    """tracefs, and the sysfs of this network namespace, mounted where only this process and its children see them."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="dptap-oracle-")
        try:
            with _lacking("a mount namespace of our own"):
                self._call(_LIBC.unshare(_CLONE_NEWNS))
            self._call(_LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
            # nodev elsewhere would keep us from a device file
            self._mount("tmpfs", self.directory)
            for name in ("tracefs", "sysfs"):
                os.mkdir(self.path(name))
                self._mount(name, self.path(name))
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _call(result):
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def _mount(self, kind, path):
        with _lacking(f"{kind} to be mounted"):
            self._call(_LIBC.mount(kind.encode(), path.encode(), kind.encode(), 0, None))

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def close(self):
        subprocess.run(["umount", "-R", self.directory], capture_output=True, check=False)
        os.rmdir(self.directory)


class _Trace:
    """The drops of this process, told apart by markers."""

    def __init__(self, tracefs):
        event = os.path.join(tracefs, EVENT)
        if not os.path.isdir(event):
            raise Skip("this kernel has no tracepoint skb:kfree_skb")
        self.path = os.path.join(tracefs, "instances", f"dptap-oracle-{os.getpid()}")
        with _lacking("trace instance of our own"):
            os.mkdir(self.path)
        self._marker = None
        try:
            with _lacking("tracing by markers, process and reason"):
                self._begin(event)
        except BaseException:
            self.close()
            raise

    def _begin(self, event):
        self._set("buffer_size_kb", "8192")
        self._set("trace_clock", "mono")
        self._set("set_event_pid", str(os.getpid()))
        with open(os.path.join(event, "format"), encoding="ascii") as file:
            numbers = {name: number for number, name in re.findall(r'\{ (\d+), "(\w+)" \}', file.read())}
        noise = [f"reason != {numbers[name]}" for name in PEERS_REASONS if name in numbers]
        self._set(EVENT + "/filter", " && ".join(noise))
        self._set(EVENT + "/enable", "1")
        self._marker = os.open(os.path.join(self.path, "trace_marker"), os.O_WRONLY)

    def _set(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(value)

    def mark(self, number):
        os.write(self._marker, b"case %d" % number)

    def take(self):
        """The drops since the last call: {marker's number: ["REASON@place", ...]}."""
        found, number = collections.defaultdict(list), None
        with open(os.path.join(self.path, "trace"), encoding="ascii", errors="replace") as file:
            for line in file:
                if marker := re.search(r"tracing_mark_write: case (\d+)", line):
                    number = int(marker[1])
                elif drop := re.search(r"kfree_skb: .*location=([^\s+]+)\S* reason: (\w+)", line):
                    place = drop[1].split(".")[0]
                    if not place.startswith(PEERS_OWN):
                        found[number].append(f"{drop[2]}@{place}")
                elif not line.startswith("#"):
                    raise Failure(f"the trace says {line!r}")
        self._set("trace", "")
        return found

    def lost(self):
        """Events that did not fit into the buffer."""
        total = 0
        for cpu in os.listdir(os.path.join(self.path, "per_cpu")):
            with open(os.path.join(self.path, "per_cpu", cpu, "stats"), encoding="ascii") as file:
                text = file.read()
            total += sum(int(n) for n in re.findall(r"^(?:overrun|dropped events): (\d+)", text, re.MULTILINE))
        return total

    def close(self):
        if self._marker is not None:
            os.close(self._marker)
        with contextlib.suppress(OSError):
            self._set(EVENT + "/enable", "0")
        os.rmdir(self.path)


def _ip(*command, lacking=None):
    """Run iproute2; `lacking`: what this kernel may be without."""
    done = subprocess.run(["ip", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        words = done.stderr.strip()
        if lacking and ("not supported" in words or "Unknown device type" in words):
            raise Skip(f"this kernel has no {lacking}: {words}")
        raise Failure(f"ip {' '.join(command)}: {words}")


class KernelTap:
    """ask() it. Raises Skip where the machine lacks what it takes."""

    def __init__(self):
        self._fd = self._socket = self._trace = self._mounts = None
        if not shutil.which("ethtool"):
            raise Skip("ethtool is not installed")
        private_network()
        try:
            self._mounts = _Mounts()
            self._trace = _Trace(self._mounts.path("tracefs"))
            _ip("link", "add", NEAR, "mtu", str(MTU), "type", "veth", "peer", "name", FAR, "mtu", str(MTU),
                lacking="veth")
            for end in (NEAR, FAR):
                _ip("link", "set", end, "arp", "off", "up")
            _ip("link", "add", "link", NEAR, "name", MACVTAP, "type", "macvtap", "mode", "private", lacking="macvtap")
            _ip("link", "set", MACVTAP, "address", "02:00:00:00:00:01", "up")
            self._fd = self._open()
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
            self._socket.bind((NEAR, _ETH_P_ALL))
            self._socket.setblocking(False)
        except BaseException:
            self.close()
            raise

    def _open(self):
        """The macvtap's file."""
        numbers = glob.glob(self._mounts.path("sysfs", "class", "net", MACVTAP, "tap*", "dev"))
        if len(numbers) != 1:
            raise Failure(f"no device number of {MACVTAP} in sysfs")
        with open(numbers[0], encoding="ascii") as file:
            device = os.makedev(*map(int, file.read().split(":")))
        node = self._mounts.path("tap")
        with _lacking("device file of our own"):
            os.mknod(node, 0o600 | stat.S_IFCHR, device)
            fd = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        request = struct.pack("16sH22x", MACVTAP.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
        fcntl.ioctl(fd, _TUNSETIFF, request)
        fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", 12))
        return fd

    def close(self):
        """Give all back; the network goes with the process, the veth pair at once."""
        if self._fd is not None:
            os.close(self._fd)
        if self._socket:
            self._socket.close()
        if self._trace:
            self._trace.close()
        subprocess.run(["ip", "link", "del", NEAR], capture_output=True, check=False)
        if self._mounts:
            self._mounts.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, cases, offloads):
        """What becomes of each case where the lower device takes everything (`offloads`), or nothing."""
        state = "on" if offloads else "off"
        done = subprocess.run(["ethtool", "-K", NEAR, "tx", state, "sg", state, "tso", state, "gso", state,
                               "tx-udp-segmentation", state], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"ethtool: {done.stderr.strip()}")
        self._frames()
        answers = []
        for at in range(0, len(cases), _BATCH):
            written = []
            for number, case in enumerate(cases[at : at + _BATCH]):
                self._trace.mark(number)
                written.append((self._write(case), self._frames()))
            self._trace.mark(_BATCH)
            drops = self._trace.take()
            answers += [Answer(errno_, drops[i], runs_of(frames)) for i, (errno_, frames) in enumerate(written)]
        self._nothing_is_lost()
        return answers

    def _write(self, case):
        try:
            n = os.write(self._fd, case.header + case.frame)
        except OSError as err:
            return errno.errorcode[err.errno]
        if n != 12 + len(case.frame):
            raise Failure(f"{case}: {n} bytes written")
        return "OK"

    def _frames(self):
        found = []
        while True:
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return found
            found.append((data[10:], read_header(data)))

    def _nothing_is_lost(self):
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        if struct.unpack("II", statistics)[1]:
            raise Failure("the packet socket has lost frames: fewer segments for a case, please")
        if self._trace.lost():
            raise Failure("the trace has lost drops")
