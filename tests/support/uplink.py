# SPDX-License-Identifier: BSD-3-Clause
"""What stands in for a NIC, and for a guest that is fast.

    Nic      a net_vhost device whose other end is a Guest of ours: a NIC whose link, appetite and every frame are
             in the test's hands; needs no privilege
    Wire     a veth pair in a network namespace of our own: net_af_packet at one end, a packet socket at the other
    Tap      net_tap, and a packet socket on the kernel's interface
    Capture  net_pcap: frames from a file, frames into a file
    null()   net_null: takes everything, gives nothing
    Testpmd  dpdk-testpmd with net_virtio_user: a guest at DPDK's speed
"""

import contextlib
import ctypes
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import tempfile

from dptap import cpus, runtime_dir
from frames import read_pcap, write_pcap
from guest import FEATURES, Guest
from testing import DEADLINE, Failure, Skip, equal, wait_until

_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_PACKET_IGNORE_OUTGOING = 23
_TP_STATUS_VLAN_VALID = 1 << 4
_TP_STATUS_VLAN_TPID_VALID = 1 << 6
_SO_RCVBUFFORCE = 33

_private = []


def private_network():
    """Move this process (and what it starts from now on) into a network namespace that dies with it."""
    if _private:
        return
    if not shutil.which("ip"):
        raise Skip("iproute2's ip is not installed")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise Skip(f"no network namespace of our own: {os.strerror(ctypes.get_errno())} (needs root)")
    # no router solicitations and the like: frames on these links are the test's alone
    with contextlib.suppress(OSError):
        for which in ("default", "all"):
            with open(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6", "w", encoding="ascii") as file:
                file.write("1")
    _private.append(True)


def ip(*args):
    """Run iproute2."""
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"ip {' '.join(args)}: {done.stderr.strip()}")


class PacketSocket:
    """Sends and receives whole frames on a kernel interface."""

    def __init__(self, interface):
        self.interface = interface
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self.sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self.sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.sock.bind((interface, _ETH_P_ALL))
        self.sock.setblocking(False)

    def send(self, frame):
        def sent():
            try:
                self.sock.send(frame)
                return True
            except (BlockingIOError, OSError) as err:
                if isinstance(err, BlockingIOError) or err.errno == 105:  # ENOBUFS
                    return False
                raise

        wait_until(sent, f"room to send on {self.interface}")

    def poll(self):
        """The frames that have arrived since the last call."""
        found = []
        while True:
            try:
                found.append(self._whole(*self.sock.recvmsg(1 << 17, 64)[:2]))
            except BlockingIOError:
                return found
            except OSError as err:
                if err.errno != 100:  # ENETDOWN, told once
                    raise

    @staticmethod
    def _whole(data, extra):
        """A frame with the outer VLAN tag that the kernel has taken out of it."""
        for level, kind, value in extra:
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack_from("=IIIHHHH", value)
                if status & _TP_STATUS_VLAN_VALID:
                    tpid = tpid if status & _TP_STATUS_VLAN_TPID_VALID else 0x8100
                    return data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
        return data

    def receive(self, n=1, deadline=DEADLINE):
        """Wait for n frames; more is a failure."""
        found = []

        def enough():
            select.select([self.sock], [], [], 0.01)
            found.extend(self.poll())
            return len(found) >= n

        wait_until(enough, lambda: f"frame {len(found) + 1} of {n} on {self.interface}", deadline)
        equal(len(found), n, f"frames on {self.interface}")
        return found

    def close(self):
        self.sock.close()


class Wire:
    """A veth pair; `vdev` is for dptap, the far end ours."""

    def __init__(self, near="dtap-near", far="dtap-far", mtu=1500):
        private_network()
        self.near, self.far = near, far
        ip("link", "add", near, "mtu", str(mtu), "type", "veth", "peer", "name", far, "mtu", str(mtu))
        ip("link", "set", near, "up")
        ip("link", "set", far, "up")
        self.vdev = f"net_af_packet0,iface={near}"
        self.device = "net_af_packet0"
        self.socket = PacketSocket(far)
        self.send, self.poll, self.receive = self.socket.send, self.socket.poll, self.socket.receive

    def close(self):
        self.socket.close()
        subprocess.run(["ip", "link", "del", self.near], capture_output=True, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Tap:
    """The kernel's side of net_tap; attach() once dptap has made the interface."""

    def __init__(self, interface="dtap-tap"):
        private_network()
        if not os.path.exists("/dev/net/tun"):
            raise Skip("no /dev/net/tun")
        self.interface = interface
        self.vdev = f"net_tap0,iface={interface}"
        self.device = "net_tap0"
        self.socket = None

    def attach(self):
        self.set(True)
        self.socket = PacketSocket(self.interface)
        self.send, self.poll, self.receive = self.socket.send, self.socket.poll, self.socket.receive
        return self

    def set(self, up):
        ip("link", "set", self.interface, "up" if up else "down")

    def close(self):
        if self.socket:
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Capture:
    """net_pcap between files in a directory that exists already: a file in and one out for each queue pair.

    `frames`  what each queue yields, a list of lists; it comes as soon as the port is started
    """

    def __init__(self, directory, frames, snap=None):
        self.device = "net_pcap0"
        self.vdev = self.device
        self.into = []
        for i, some in enumerate(frames):
            source = os.path.join(directory, f"in{i}.pcap")
            write_pcap(source, some, snap)
            self.into.append(os.path.join(directory, f"out{i}.pcap"))
            self.vdev += f",rx_pcap={source},tx_pcap={self.into[-1]}"

    def frames(self, queue=0):
        """What dptap has sent so far by a queue."""
        return read_pcap(self.into[queue])


def null(number=0):
    """net_null that yields no packet of its own."""
    return f"net_null{number},no-rx=1"


class Nic(Guest):
    """A NIC in the test's hands: `vdev` is for dptap; up() brings its link up, disconnect() takes it down.

    What dptap sends into it arrives in this object's receive buffers: without any, the NIC accepts no packet.
    What this object sends, dptap's port receives; with `tso` also what a NIC merges (LRO).
    """

    def __init__(self, path, number=0, features=FEATURES, queue_size=256, queues=1, tso=False, **more):
        self.device = f"net_vhost{number}"
        self.vdev = f"{self.device},iface={path},queues={queues}" + (",tso=1" if tso else "")
        super().__init__(path, features, queue_size, queues=queues, **more)


# -- testpmd ---------------------------------------------------------------------------------------------------

TESTPMD = os.environ.get("DPTAP_TESTPMD", "dpdk-testpmd")


class Testpmd:
    """dpdk-testpmd, driven over its standard input.

    `vdevs`     its devices; virtio_user() makes one that is a guest
    `forward`   txonly, rxonly, io, macswap, icmpecho, ...
    """

    def __init__(self, vdevs, forward="io", args=(), memory=256, prefix=None, cpu=None, deadline=DEADLINE):
        if not shutil.which(TESTPMD):
            raise Skip(f"{TESTPMD} is not installed")
        self.deadline = deadline
        self.dir = tempfile.mkdtemp(prefix="dptap-testpmd-")
        self.prefix = prefix or os.path.basename(self.dir)
        self.log_path = os.path.join(self.dir, "log")
        cpu = cpus()[0] if cpu is None else cpu
        # line by line, or its answers would come long after its prompts
        self.command = ["stdbuf", "-oL", TESTPMD, "--lcores", f"0@{cpu},1@{cpu}", "--no-huge", "-m", str(memory),
                        "--no-pci", "--no-telemetry", "--file-prefix", self.prefix]
        for vdev in vdevs:
            self.command += ["--vdev", vdev]
        self.command += ["--", "-i", "--no-mlockall", "--total-num-mbufs=8192", f"--forward-mode={forward}"]
        self.command += args
        self.process = None

    def __enter__(self):
        try:
            self.start_process()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End it, if it still runs, and leave nothing behind."""
        self.kill()
        shutil.rmtree(os.path.join(runtime_dir(), self.prefix), ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def start_process(self):
        with open(self.log_path, "wb") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        self._prompt(0)

    def _prompt(self, since):
        """Wait for a prompt behind a position of the log; what stands between."""

        def prompt():
            text = self.log()[since:]
            if "testpmd> " in text:
                return text
            if self.process.poll() is not None:
                raise Failure(f"testpmd ended with status {self.process.returncode}: {self.log()[-2000:]}")
            return None

        return wait_until(prompt, lambda: f"testpmd's prompt: {self.log()[-2000:]}", self.deadline, 0.01)

    def say(self, command):
        """Give a command and return what testpmd answers."""
        since = len(self.log())
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self._prompt(since)

    def run(self):
        """Forward from now on."""
        self.say("start")

    def halt(self):
        """Stop forwarding. The totals over its ports, as a dict: rx_packets, tx_packets, tx_dropped, ..."""
        text = self.say("stop")
        total = text.rpartition("Accumulated forward statistics")[2]
        return {name.lower().replace("-", "_"): int(n) for name, n in re.findall(r"([RT]X-\w+):\s*(\d+)", total)}

    def quit(self):
        """Leave as a well-behaved guest does."""
        self.process.stdin.write(b"stop\nquit\n")
        self.process.stdin.flush()
        try:
            self.process.wait(self.deadline)
        except subprocess.TimeoutExpired as err:
            raise Failure("testpmd does not quit") from err

    def kill(self):
        """Die without a word."""
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            with contextlib.suppress(OSError):
                self.process.stdin.close()


def virtio_user(path, number=0, **options):
    """A --vdev of testpmd: a guest on a vhost-user socket. Options as mrg_rxbuf=0, in_order=0, queue_size=256."""
    settings = {"path": path, "queues": 1, "queue_size": 256, **options}
    return f"net_virtio_user{number}," + ",".join(f"{key}={value}" for key, value in settings.items())
