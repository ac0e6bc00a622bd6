# SPDX-License-Identifier: BSD-3-Clause
"""The front end's side of vhost-user: guest memory in memfds, and every message that a test may want to send.

Nothing here is polite by force: any message can be sent with any payload and any file descriptors, complete or
cut short, so that a test can be as hostile as it likes. The names are those of the vhost-user specification.
"""

import array
import contextlib
import mmap
import os
import socket
import struct
import time

from testing import DEADLINE, Failure

# requests
GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
RESET_OWNER = 4
SET_MEM_TABLE = 5
SET_LOG_BASE = 6
SET_LOG_FD = 7
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13
SET_VRING_ERR = 14
GET_PROTOCOL_FEATURES = 15
SET_PROTOCOL_FEATURES = 16
GET_QUEUE_NUM = 17
SET_VRING_ENABLE = 18
SEND_RARP = 19
NET_SET_MTU = 20
GET_CONFIG = 24
SET_CONFIG = 25
GET_INFLIGHT_FD = 31
SET_INFLIGHT_FD = 32
SET_STATUS = 39
GET_STATUS = 40

# flags of a message
VERSION = 0x1
REPLY = 0x4
NEED_REPLY = 0x8
NO_FD = 0x100
"""In the payload of KICK, CALL and ERR: no file descriptor comes with it."""

# protocol features
PROTOCOL_MQ = 1 << 0
PROTOCOL_LOG_SHMFD = 1 << 1
PROTOCOL_RARP = 1 << 2
PROTOCOL_REPLY_ACK = 1 << 3
PROTOCOL_NET_MTU = 1 << 4
PROTOCOL_BACKEND_REQ = 1 << 5
PROTOCOL_PAGEFAULT = 1 << 8
PROTOCOL_CONFIG = 1 << 9
PROTOCOL_BACKEND_SEND_FD = 1 << 10
PROTOCOL_HOST_NOTIFIER = 1 << 11
PROTOCOL_INFLIGHT_SHMFD = 1 << 12
PROTOCOL_RESET_DEVICE = 1 << 13
PROTOCOL_CONFIGURE_MEM_SLOTS = 1 << 15
PROTOCOL_STATUS = 1 << 16

# features of a network device
F_CSUM = 1 << 0
F_GUEST_CSUM = 1 << 1
F_MTU = 1 << 3
F_MAC = 1 << 5
F_GUEST_TSO4 = 1 << 7
F_GUEST_TSO6 = 1 << 8
F_GUEST_ECN = 1 << 9
F_GUEST_UFO = 1 << 10
F_HOST_TSO4 = 1 << 11
F_HOST_TSO6 = 1 << 12
F_HOST_ECN = 1 << 13
F_HOST_UFO = 1 << 14
F_MRG_RXBUF = 1 << 15
F_NET_STATUS = 1 << 16
F_CTRL_VQ = 1 << 17
F_GUEST_ANNOUNCE = 1 << 21
F_MQ = 1 << 22
F_GUEST_USO4 = 1 << 54
F_GUEST_USO6 = 1 << 55
F_HOST_USO = 1 << 56

HOST_OFFLOADS = F_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_HOST_UFO | F_HOST_USO
"""What a driver may leave to the device."""
GUEST_OFFLOADS = (F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN | F_GUEST_UFO | F_GUEST_USO4 |
                  F_GUEST_USO6)
"""What a device may leave to the driver."""

# features of every device
F_NOTIFY_ON_EMPTY = 1 << 24
F_LOG_ALL = 1 << 26
F_ANY_LAYOUT = 1 << 27
F_INDIRECT_DESC = 1 << 28
F_EVENT_IDX = 1 << 29
F_PROTOCOL_FEATURES = 1 << 30
F_VERSION_1 = 1 << 32
F_ACCESS_PLATFORM = 1 << 33
F_RING_PACKED = 1 << 34
F_IN_ORDER = 1 << 35

# device status
STATUS_ACKNOWLEDGE = 1
STATUS_DRIVER = 2
STATUS_DRIVER_OK = 4
STATUS_FEATURES_OK = 8

MAX_REGIONS = 8
"""What one SET_MEM_TABLE can carry, by specification."""

UVA_OFFSET = 0x7000_0000_0000
"""Where a front end claims to have guest-physical address 0: only the difference matters."""

VRING_LOG = 1 << 0
"""Flag of SET_VRING_ADDR: what the device writes into the ring itself is to be logged."""

LOG_PAGE = 4096
"""Bytes of guest memory behind one bit of the dirty log, whatever size the pages have."""

_HEADER = struct.Struct("=III")


class Region:
    """One memfd of guest memory."""

    def __init__(self, gpa, size):
        self.gpa = gpa
        self.size = size
        self.fd = os.memfd_create("guest", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        self._whole = memoryview(self.map)
        # one store each, never bytewise: the device reads indexes while we write them
        self.u16 = self._whole.cast("H")

    @property
    def end(self):
        return self.gpa + self.size

    @property
    def uva(self):
        return UVA_OFFSET + self.gpa

    def close(self):
        if self.fd >= 0:
            self.u16.release()
            self._whole.release()
            self.map.close()
            os.close(self.fd)
            self.fd = -1


class GuestMemory:
    """Regions of guest-physical memory, with an allocator over the first (or a named) one.

    `layout` is a list of (guest-physical address, size). Neighbours in address space may be asked for: they are
    still files of their own.
    """

    def __init__(self, layout=((0x10_0000, 32 << 20),)):
        self.regions = [Region(gpa, size) for gpa, size in layout]
        self._next = {r.gpa: r.gpa + 4096 for r in self.regions}
        self._free = {}

    def region(self, gpa, length=1):
        """The region that holds a range, or None."""
        for r in self.regions:
            if r.gpa <= gpa and gpa + length <= r.end:
                return r
        return None

    def _pieces(self, gpa, length):
        while length:
            r = self.region(gpa)
            if r is None:
                raise ValueError(f"no guest memory at {gpa:#x}")
            n = min(length, r.end - gpa)
            yield r, gpa - r.gpa, n
            gpa += n
            length -= n

    def write(self, gpa, data):
        done = 0
        for r, offset, n in self._pieces(gpa, len(data)):
            r.map[offset : offset + n] = data[done : done + n]
            done += n

    def read(self, gpa, length):
        return b"".join(r.map[o : o + n] for r, o, n in self._pieces(gpa, length))

    def alloc(self, size, align=64, region=None):
        """Guest-physical address of fresh (or given back) memory, whole in one region."""
        size = max(size, 1)
        room = 1 << (size - 1).bit_length()
        region = region or self.regions[0]
        free = self._free.get((region.gpa, room, align))
        if free:
            return free.pop()
        gpa = -(-self._next[region.gpa] // align) * align
        if gpa + room > region.end:
            raise MemoryError(f"guest memory at {region.gpa:#x} is used up")
        self._next[region.gpa] = gpa + room
        return gpa

    def free(self, gpa, size, align=64, region=None):
        """Give memory back that alloc() handed out with the same arguments."""
        room = 1 << (max(size, 1) - 1).bit_length()
        region = region or self.regions[0]
        self._free.setdefault((region.gpa, room, align), []).append(gpa)

    def table(self, regions=None):
        """Payload of SET_MEM_TABLE, and the file descriptors that go with it."""
        regions = self.regions if regions is None else regions
        payload = struct.pack("=II", len(regions), 0)
        for r in regions:
            payload += struct.pack("=QQQQ", r.gpa, r.size, r.uva, 0)
        return payload, [r.fd for r in regions]

    def close(self):
        for r in self.regions:
            r.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class DirtyLog:
    """The bitmap in which a back end marks the guest's pages that it has written, in a memfd of its own.

    `size`  its bytes; by default what covers the memory. `offset`: where in the file it begins.
    """

    def __init__(self, memory, size=None, offset=0):
        pages = max(r.end for r in memory.regions) // LOG_PAGE
        self.size = size or -(-pages // 64) * 8
        self.offset = offset
        self.fd = os.memfd_create("log", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, offset + self.size)
        self.map = mmap.mmap(self.fd, offset + self.size)

    def pages(self):
        """The numbers of the marked pages, as a set."""
        bits = int.from_bytes(self.map[self.offset :], "little")
        found = set()
        while bits:
            lowest = bits & -bits
            found.add(lowest.bit_length() - 1)
            bits ^= lowest
        return found

    def clear(self):
        """Forget all marks; those that are set meanwhile may be lost."""
        self.map[self.offset :] = bytes(self.size)

    def close(self):
        if self.fd >= 0:
            self.map.close()
            os.close(self.fd)
            self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Refused(ConnectionError):
    """The other side closed the connection or answered with an error."""


class FrontEnd:
    """One vhost-user connection, seen from the front end."""

    def __init__(self, sock, deadline=DEADLINE):
        self.sock = sock
        self.sock.settimeout(deadline)
        self.reply_ack = False

    @classmethod
    def connect(cls, path, deadline=DEADLINE):
        """Connect to a back end that listens; it may still be on its way up."""
        end = time.monotonic() + deadline
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(path)
                return cls(sock, deadline)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError) as err:
                sock.close()
                if time.monotonic() > end:
                    raise Failure(f"nobody listens on {path}: {err}") from err
                time.sleep(0.01)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- raw bytes --------------------------------------------------------------------------------------------

    def send_raw(self, data, fds=()):
        """Send bytes as they are."""
        try:
            if fds:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
                sent = self.sock.sendmsg([data], rights)
                data = data[sent:]
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise Refused(f"connection closed by the back end: {err}") from err

    def _receive(self, length):
        data = b""
        while len(data) < length:
            try:
                more = self.sock.recv(length - len(data))
            except TimeoutError as err:
                raise Failure("no answer from the back end") from err
            except ConnectionResetError as err:
                raise Refused(f"connection reset by the back end: {err}") from err
            if not more:
                raise Refused("connection closed by the back end")
            data += more
        return data

    def receive(self):
        """The next message: request, flags, payload."""
        request, flags, size = _HEADER.unpack(self._receive(_HEADER.size))
        return request, flags, self._receive(size)

    def closed_by_peer(self, deadline=DEADLINE):
        """Wait for the back end to close the connection; whatever it still says is thrown away."""
        self.sock.settimeout(deadline)
        try:
            while self.sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    # -- messages ---------------------------------------------------------------------------------------------

    def send(self, request, payload=b"", fds=(), flags=VERSION, size=None):
        """Send one message without waiting for anything."""
        header = _HEADER.pack(request, flags, len(payload) if size is None else size)
        self.send_raw(header + payload, fds)

    def ask(self, request, payload=b"", fds=()):
        """Send a request that has an answer, and return its payload."""
        self.send(request, payload, fds)
        answer, flags, data = self.receive()
        if answer != request or not flags & REPLY:
            raise Failure(f"request {request} was answered with request {answer}, flags {flags:#x}")
        return data

    def ask_u64(self, request):
        return struct.unpack("=Q", self.ask(request))[0]

    def tell(self, request, payload=b"", fds=(), ack=True):
        """Send a message and, where the back end can acknowledge, return its verdict (0: done)."""
        if not (ack and self.reply_ack):
            self.send(request, payload, fds)
            return 0
        self.send(request, payload, fds, VERSION | NEED_REPLY)
        answer, flags, data = self.receive()
        if answer != request or not flags & REPLY:
            raise Failure(f"message {request} was acknowledged with request {answer}, flags {flags:#x}")
        return struct.unpack("=Q", data)[0]

    def must(self, request, payload=b"", fds=()):
        """Send a message that the back end has to accept."""
        if self.tell(request, payload, fds):
            raise Refused(f"the back end refused message {request}")

    def sync(self):
        """Return once everything sent so far has been handled."""
        return self.ask_u64(GET_FEATURES)

    # -- the usual ones ---------------------------------------------------------------------------------------

    def get_features(self):
        return self.ask_u64(GET_FEATURES)

    def set_features(self, features):
        self.must(SET_FEATURES, struct.pack("=Q", features))

    def get_protocol_features(self):
        return self.ask_u64(GET_PROTOCOL_FEATURES)

    def set_protocol_features(self, features):
        self.tell(SET_PROTOCOL_FEATURES, struct.pack("=Q", features), ack=False)
        self.reply_ack = bool(features & PROTOCOL_REPLY_ACK)

    def get_queue_num(self):
        return self.ask_u64(GET_QUEUE_NUM)

    def set_owner(self):
        self.must(SET_OWNER)

    def reset_owner(self):
        self.must(RESET_OWNER)

    def set_status(self, status):
        self.must(SET_STATUS, struct.pack("=Q", status))

    def get_status(self):
        return self.ask_u64(GET_STATUS)

    def set_mem_table(self, memory, regions=None):
        """The verdict: 0 taken, else refused."""
        payload, fds = memory.table(regions)
        return self.tell(SET_MEM_TABLE, payload, fds)

    def set_vring_num(self, index, num):
        return self.tell(SET_VRING_NUM, struct.pack("=II", index, num))

    def set_vring_base(self, index, base):
        return self.tell(SET_VRING_BASE, struct.pack("=II", index, base))

    def set_vring_addr(self, index, desc, used, avail, flags=0, log=0):
        return self.tell(SET_VRING_ADDR, struct.pack("=IIQQQQ", index, flags, desc, used, avail, log))

    def _set_fd(self, request, index, fd):
        if fd is None:
            return self.tell(request, struct.pack("=Q", index | NO_FD))
        return self.tell(request, struct.pack("=Q", index), [fd])

    def set_vring_kick(self, index, fd):
        return self._set_fd(SET_VRING_KICK, index, fd)

    def set_vring_call(self, index, fd):
        return self._set_fd(SET_VRING_CALL, index, fd)

    def set_vring_err(self, index, fd):
        return self._set_fd(SET_VRING_ERR, index, fd)

    def set_vring_enable(self, index, enable):
        return self.tell(SET_VRING_ENABLE, struct.pack("=II", index, enable))

    def set_log_base(self, log, size=None, offset=None, fds=None):
        """Hand over a DirtyLog (or say something else about it); the verdict: 0 taken, else refused.

        This message has an answer of its own, without a payload; a refusal is an acknowledgement that says so.
        """
        payload = struct.pack("=QQ", log.size if size is None else size, log.offset if offset is None else offset)
        self.send(SET_LOG_BASE, payload, [log.fd] if fds is None else fds,
                  VERSION | (NEED_REPLY if self.reply_ack else 0))
        answer, flags, data = self.receive()
        if answer != SET_LOG_BASE or not flags & REPLY:
            raise Failure(f"SET_LOG_BASE was answered with request {answer}, flags {flags:#x}")
        return struct.unpack("=Q", data)[0] if data else 0

    def set_log_fd(self, fd):
        return self.tell(SET_LOG_FD, fds=[fd])

    def send_rarp(self, address):
        """Ask the back end to announce a MAC address (6 bytes) on the guest's behalf."""
        return self.tell(SEND_RARP, address.ljust(8, b"\0"))

    def net_set_mtu(self, mtu):
        return self.tell(NET_SET_MTU, struct.pack("=Q", mtu))

    def get_config(self, offset, size, flags=0):
        """Bytes of the device's configuration space; none if the back end has not got them."""
        answer = self.ask(GET_CONFIG, struct.pack("=III", offset, size, flags) + bytes(size))
        return answer[12:]

    def set_config(self, offset, data, flags=0):
        return self.tell(SET_CONFIG, struct.pack("=III", offset, len(data), flags) + data)

    def get_vring_base(self, index):
        """Stop a ring; the position at which the back end stopped."""
        found, base = struct.unpack("=II", self.ask(GET_VRING_BASE, struct.pack("=II", index, 0)))
        if found != index:
            raise Failure(f"GET_VRING_BASE of ring {index} was answered for ring {found}")
        return base


class Listener:
    """A front end that waits for the back end to connect to it."""

    def __init__(self, path, deadline=DEADLINE):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.sock.bind(path)
        self.sock.listen(4)
        self.sock.settimeout(deadline)

    def accept(self):
        try:
            sock, _ = self.sock.accept()
        except TimeoutError as err:
            raise Failure(f"no back end connects to {self.path}") from err
        return FrontEnd(sock, self.sock.gettimeout())

    def close(self):
        self.sock.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
