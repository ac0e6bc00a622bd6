# SPDX-License-Identifier: BSD-3-Clause
"""A guest and its front end in one: brings the link up, sends frames in any shape, receives them in any buffers.

Ring 2 i is `to_guest` and ring 2 i + 1 `from_guest` of queue pair i. Nothing runs in the background: memory is read and
written when a method is called, so that a test decides what the device sees and when.
"""

import collections
import struct
import time

from testing import DEADLINE, Failure, wait_until
from virtqueue import Desc, new_queue
import vhost_user as vu

FEATURES = vu.F_VERSION_1 | vu.F_MRG_RXBUF | vu.F_INDIRECT_DESC | vu.F_PROTOCOL_FEATURES | vu.F_ANY_LAYOUT
"""What a guest of the tests asks for unless it wants otherwise (EVENT_IDX is left to its own test)."""

PACKED = FEATURES | vu.F_RING_PACKED
"""The same with packed rings."""

LAYOUTS = {
    "split": FEATURES,
    "split_in_order": FEATURES | vu.F_IN_ORDER,
    "packed": PACKED,
    "packed_in_order": PACKED | vu.F_IN_ORDER,
}
"""What a guest with rings of each kind asks for."""

RINGS = {layout + name: features | more for layout, features in LAYOUTS.items()
         for name, more in (("", 0), ("_event_idx", vu.F_EVENT_IDX))}
"""The same with and without EVENT_IDX."""

OFFLOADS = vu.HOST_OFFLOADS | vu.GUEST_OFFLOADS
"""To be added by a guest that leaves checksums and segmentation to others."""

PROTOCOL_FEATURES = (vu.PROTOCOL_MQ | vu.PROTOCOL_REPLY_ACK | vu.PROTOCOL_STATUS | vu.PROTOCOL_BACKEND_REQ |
                     vu.PROTOCOL_LOG_SHMFD | vu.PROTOCOL_RARP | vu.PROTOCOL_NET_MTU)

TO_GUEST = 0
FROM_GUEST = 1

MAX_FRAME = 65550
"""64 KiB and an Ethernet header: the longest frame that a guest may send."""

Received = collections.namedtuple("Received", "frame header n_buffers lengths")
"""A frame as it arrived: its bytes, the virtio_net_hdr, and the used length of each buffer it lies in."""


# virtio_net_hdr
NEEDS_CSUM = 1
DATA_VALID = 2
GSO_NONE = 0
GSO_TCPV4 = 1
GSO_UDP = 3
GSO_TCPV6 = 4
GSO_UDP_L4 = 5
GSO_ECN = 0x80

Header = collections.namedtuple("Header", "flags gso_type hdr_len gso_size csum_start csum_offset")


def read_header(data):
    """The fields of a virtio_net_hdr but for num_buffers."""
    return Header(*struct.unpack_from("=BBHHHH", data))


def header(length, flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0):
    """A virtio_net_hdr of 10 or 12 bytes."""
    return struct.pack("=BBHHHH", flags, gso_type, hdr_len, gso_size, csum_start, csum_offset).ljust(length, b"\0")


class Pair:
    """One queue pair of a guest: what is sent into it and received from it."""

    def __init__(self, guest, number):
        self.guest = guest
        self.number = number
        self.to_guest, self.from_guest = (
            new_queue(guest.memory, guest.queue_size, writes, guest.features) for writes in (True, False))
        self._partial = []
        self._refill = None

    def close(self):
        for q in (self.to_guest, self.from_guest):
            for chain in q.chains.values():
                q.release(chain)
            q.close()

    @property
    def memory(self):
        return self.guest.memory

    @property
    def deadline(self):
        return self.guest.deadline

    @property
    def header_len(self):
        return self.guest.header_len

    # -- sending ----------------------------------------------------------------------------------------------

    def _buffer(self, data, region=None):
        """A descriptor over a copy of some bytes."""
        gpa = self.memory.alloc(len(data), 64, region)
        self.memory.write(gpa, data)
        return Desc(gpa, len(data), owns=(gpa, len(data), 64, region))

    def pieces(self, data, cuts=(), region=None):
        """Descriptors over bytes, cut at the given lengths (0 allowed); what remains is the last piece."""
        descs, at = [], 0
        for n in cuts:
            descs.append(self._buffer(data[at : at + n], region))
            at += n
        if at < len(data) or not descs:
            descs.append(self._buffer(data[at:], region))
        return descs

    def post(self, frame, hdr=None, cuts=(), indirect=False):
        """Put a frame into the ring; publish() shows it to the device."""
        hdr = header(self.header_len) if hdr is None else hdr
        return self.from_guest.post(self.pieces(hdr + frame, cuts), indirect)

    def publish(self):
        self.from_guest.publish()

    def send(self, frame, hdr=None, cuts=(), indirect=False):
        """Send one frame, and wait until the device has used its chain."""
        chain = self.post(frame, hdr, cuts, indirect)
        self.publish()
        self.wait_sent()
        return chain

    def send_chain(self, descs, indirect=False):
        """Send a chain of descriptors as they are; the used length with which it came back."""
        chain = self.from_guest.post(descs, indirect)
        self.publish()
        return dict((c.head, n) for c, n in self.wait_sent())[chain.head]

    def send_many(self, frames, burst=64, meanwhile=None):
        """Send frames in bursts; `meanwhile` is called between looks at the used ring. Waits for the last one."""
        for at in range(0, len(frames), burst):
            some = frames[at : at + burst]
            wait_until(lambda need=len(some): self._room(need, meanwhile), "room in the transmit ring",
                       self.deadline, 0.0002)
            for frame in some:
                self.post(frame)
            self.publish()
        self.wait_sent(meanwhile)

    def _room(self, n, meanwhile=None):
        self.reap_sent()
        if meanwhile:
            meanwhile()
        return len(self.from_guest.free) >= n

    def reap_sent(self):
        """What the device has used of what we sent: a list of (Chain, length)."""
        done = self.from_guest.reap()
        for chain, _ in done:
            self.from_guest.release(chain)
        return done

    def wait_sent(self, meanwhile=None):
        """Wait until the device has used all that we sent: a list of (Chain, length)."""
        done = []

        def all_used():
            done.extend(self.reap_sent())
            if meanwhile:
                meanwhile()
            return not self.from_guest.chains

        wait_until(all_used, lambda: f"{self.from_guest.n_unused} chains that the device never used",
                   self.deadline, 0.0005)
        return done

    # -- receiving --------------------------------------------------------------------------------------------

    def give(self, n=1, sizes=(2048,), indirect=False, publish=True):
        """Offer n receive buffers, each a chain of pieces of these sizes."""
        for _ in range(n):
            descs = []
            for size in sizes:
                gpa = self.memory.alloc(size)
                descs.append(Desc(gpa, size, owns=(gpa, size, 64, None)))
            self.to_guest.post(descs, indirect)
        if publish:
            self.to_guest.publish()

    def give_chain(self, descs, indirect=False):
        """Offer a receive buffer of descriptors as they are."""
        chain = self.to_guest.post(descs, indirect)
        self.to_guest.publish()
        return chain

    def keep_given(self, sizes=(2048,), indirect=False, n=None):
        """Fill the ring with receive buffers, and replace each one that is used."""
        self._refill = (sizes, indirect)
        per_chain = 1 if indirect else len(sizes)
        self.give(len(self.to_guest.free) // per_chain if n is None else n, sizes, indirect)

    def poll(self):
        """The frames that have arrived since the last call: a list of Received.

        A buffer that came back with length 0 carries no frame; it is remembered in the guest's `empty_buffers`.
        """
        frames = []
        used = self.to_guest.reap()
        for chain, length in used:
            if length == 0:
                if self._partial:
                    raise Failure("a buffer came back empty amidst a frame")
                self.guest.empty_buffers.append(chain)
                continue
            room = sum(d.length for d in chain.descs)
            if length > room:
                raise Failure(f"used length {length} of a buffer of {room} bytes")
            data, left = b"", length
            for d in chain.descs:
                n = min(left, d.length)
                data += self.memory.read(d.addr, n)
                left -= n
            self._partial.append(data)
            first = self._partial[0]
            n_buffers = 1
            if self.header_len == 12:
                if len(first) < 12:
                    raise Failure(f"the first buffer of a frame holds {len(first)} bytes only")
                n_buffers = struct.unpack_from("=H", first, 10)[0]
                if n_buffers == 0 or (n_buffers > 1 and not self.guest.mergeable):
                    raise Failure(f"num_buffers is {n_buffers}")
            if len(self._partial) == n_buffers:
                data = b"".join(self._partial)
                lengths = [len(part) for part in self._partial]
                frames.append(Received(data[self.header_len :], data[: self.header_len], n_buffers, lengths))
                self._partial = []
        for chain, _ in used:
            self.to_guest.release(chain)
        if used and self._refill:
            self.give(len(used), *self._refill)
        return frames


class Guest:
    """One guest on one socket.

    `path`       the socket; dptap listens on it, or with `listen` it is ours and dptap connects
    `features`   what the driver accepts of what the device offers
    `layout`     guest memory, a list of (address, size)
    `queues`     queue pairs; `pairs` holds them once there are rings

    What is said of one pair here (to_guest, from_guest, post(), give() ...) is said of the first; poll() and what
    stands on it look at all of them.
    """

    def __init__(self, path, features=FEATURES, queue_size=256, layout=((0x10_0000, 32 << 20),), listen=False,
                 protocol_features=PROTOCOL_FEATURES, deadline=DEADLINE, queues=1):
        self.path = path
        self.wanted = features
        self.wanted_protocol = protocol_features
        self.queue_size = queue_size
        self.deadline = deadline
        self.memory = vu.GuestMemory(layout)
        self.listen = listen
        self.listener = vu.Listener(path, deadline) if listen else None
        self.front_end = None
        self.n_pairs = queues
        self.pairs = []
        self.empty_buffers = []
        self.features = 0

    def close(self):
        self.disconnect()
        for pair in self.pairs:
            pair.close()
        self.pairs = []
        self.memory.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def mergeable(self):
        return bool(self.features & vu.F_MRG_RXBUF)

    @property
    def header_len(self):
        return 12 if self.features & (vu.F_MRG_RXBUF | vu.F_VERSION_1) else 10

    @property
    def to_guest(self):
        return self.pairs[0].to_guest if self.pairs else None

    @property
    def from_guest(self):
        return self.pairs[0].from_guest if self.pairs else None

    # -- coming and going -------------------------------------------------------------------------------------

    def connect(self):
        """Connect and negotiate; no ring is set up yet. A refusal while an old connection lives on is retried."""
        if self.listen and not self.listener:
            self.listener = vu.Listener(self.path, self.deadline)
        end = time.monotonic() + self.deadline
        while True:
            fe = self.listener.accept() if self.listener else vu.FrontEnd.connect(self.path, self.deadline)
            try:
                fe.get_features()
                break
            except vu.Refused:
                fe.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
        self.front_end = fe
        offered = fe.get_features()
        self.features = offered & self.wanted
        if self.features & vu.F_PROTOCOL_FEATURES:
            fe.set_protocol_features(fe.get_protocol_features() & self.wanted_protocol)
        fe.set_owner()
        return self

    def new_rings(self, queue_size=None):
        """All rings anew, empty, in our memory only."""
        for pair in self.pairs:
            pair.close()
        self.queue_size = queue_size or self.queue_size
        self.pairs = [Pair(self, i) for i in range(self.n_pairs)]
        self.empty_buffers = []

    def queue(self, index):
        """A ring by its number on the wire."""
        pair = self.pairs[index // 2]
        return pair.from_guest if index % 2 else pair.to_guest

    @property
    def rings(self):
        """The numbers of all rings."""
        return range(2 * self.n_pairs)

    def set_addr(self, index, log=False):
        """SET_VRING_ADDR of one ring, with or without a wish that writes into the ring itself be logged."""
        q, uva = self.queue(index), vu.UVA_OFFSET
        return self.front_end.set_vring_addr(index, uva + q.desc, uva + q.used, uva + q.avail,
                                             vu.VRING_LOG if log else 0, q.used if log else 0)

    def start_ring(self, index, base=None):
        """NUM, BASE, ADDR, ERR, KICK and CALL of one ring; by default it begins at an empty ring's first entry."""
        q, fe = self.queue(index), self.front_end
        base = q.START_BASE if base is None else base
        if self.features & vu.F_RING_PACKED:
            base |= base << 16  # where the device reads, and where it will write
        for refused in (fe.set_vring_num(index, q.size),
                        fe.set_vring_base(index, base),
                        self.set_addr(index, bool(self.features & vu.F_LOG_ALL)),
                        fe.set_vring_err(index, q.err_fd),
                        fe.set_vring_kick(index, q.kick_fd),
                        fe.set_vring_call(index, q.call_fd)):
            if refused:
                raise vu.Refused(f"the back end refused to set up ring {index}")

    def enable(self, index, on=True):
        if self.front_end.set_vring_enable(index, int(on)):
            raise vu.Refused(f"the back end refused to switch ring {index}")
        # librte_vhost acknowledges first and tells its application afterwards; an answer to the next one proves both
        self.front_end.sync()

    def enable_pairs(self, n):
        """Switch the first n pairs on and all others off, as `ethtool -L` does in a guest."""
        for index in self.rings:
            self.enable(index, index < 2 * n)

    def start(self, rings=None, bases=None, fresh=True, n_enabled=None):
        """Bring the link up as a driver does, with empty rings (or, if not `fresh`, with those that are there).

        `rings`      the numbers of those that are started, by default all
        `bases`      where each begins; by default at its first entry
        `n_enabled`  pairs that are switched on, by default all; the rings of the others are started nevertheless
        """
        fe = self.front_end
        rings = self.rings if rings is None else rings
        n_enabled = self.n_pairs if n_enabled is None else n_enabled
        if fresh:
            self.new_rings()
        fe.set_features(self.features)
        status = bool(self.features & vu.F_PROTOCOL_FEATURES) and bool(self.wanted_protocol & vu.PROTOCOL_STATUS)
        begun = vu.STATUS_ACKNOWLEDGE | vu.STATUS_DRIVER | vu.STATUS_FEATURES_OK
        if status:
            fe.set_status(begun)
        if fe.set_mem_table(self.memory):
            raise vu.Refused("the back end refused the memory table")
        for index in rings:
            self.start_ring(index, bases[index] if bases else None)
        if self.features & vu.F_PROTOCOL_FEATURES:
            for index in rings:
                self.enable(index, index < 2 * n_enabled)
        if status:
            fe.set_status(begun | vu.STATUS_DRIVER_OK)
        fe.sync()
        return self

    def up(self):
        """Connect and start."""
        return self.connect().start()

    def stop(self):
        """Stop all rings as a driver that goes does; where the back end stopped, for each ring."""
        return [self.front_end.get_vring_base(index) for index in self.rings]

    def disconnect(self):
        """Cut the connection without a word, as a front end that dies does; nobody listens any more either."""
        if self.listener:
            self.listener.close()
            self.listener = None
        self.hang_up()

    def hang_up(self):
        """Cut the connection only."""
        if self.front_end:
            self.front_end.close()
            self.front_end = None

    def start_log(self, log):
        """Have the back end log what it writes into a vhost_user.DirtyLog, as QEMU does when a migration begins."""
        if self.front_end.set_log_base(log):
            raise vu.Refused("the back end refused the log")
        self._log_features(True)

    def stop_log(self):
        """No log any more, as after a migration that was cancelled."""
        self._log_features(False)

    def _log_features(self, on):
        self.features = self.features & ~vu.F_LOG_ALL | (vu.F_LOG_ALL if on else 0)
        self.front_end.set_features(self.features)
        for index in self.rings:
            if self.set_addr(index, on):
                raise vu.Refused(f"the back end refused the address of ring {index}")
        self.front_end.sync()

    # -- the first pair ---------------------------------------------------------------------------------------

    def pieces(self, data, cuts=(), region=None):
        return self.pairs[0].pieces(data, cuts, region)

    def post(self, frame, hdr=None, cuts=(), indirect=False):
        return self.pairs[0].post(frame, hdr, cuts, indirect)

    def publish(self):
        self.pairs[0].publish()

    def send(self, frame, hdr=None, cuts=(), indirect=False):
        return self.pairs[0].send(frame, hdr, cuts, indirect)

    def send_chain(self, descs, indirect=False):
        return self.pairs[0].send_chain(descs, indirect)

    def send_many(self, frames, burst=64, meanwhile=None):
        self.pairs[0].send_many(frames, burst, meanwhile)

    def reap_sent(self):
        return self.pairs[0].reap_sent()

    def wait_sent(self, meanwhile=None):
        return self.pairs[0].wait_sent(meanwhile)

    def give(self, n=1, sizes=(2048,), indirect=False, publish=True):
        self.pairs[0].give(n, sizes, indirect, publish)

    def give_chain(self, descs, indirect=False):
        return self.pairs[0].give_chain(descs, indirect)

    # -- all pairs --------------------------------------------------------------------------------------------

    def keep_given(self, sizes=(2048,), indirect=False, n=None):
        """Fill the rings of all pairs with receive buffers, and replace each one that is used."""
        for pair in self.pairs:
            pair.keep_given(sizes, indirect, n)

    def poll(self):
        """The frames that have arrived since the last call, pair by pair: a list of Received."""
        return [frame for pair in self.pairs for frame in pair.poll()]

    def receive(self, n=1, deadline=None):
        """Wait for n frames; more than that is a failure."""
        frames = []

        def enough():
            frames.extend(self.poll())
            return len(frames) >= n

        wait_until(enough, lambda: f"frame {len(frames) + 1} of {n}", deadline or self.deadline, 0.0005)
        if len(frames) > n:
            raise Failure(f"{len(frames)} frames arrived where {n} were due")
        return frames

    def nothing_arrived(self):
        """Fail if a frame has arrived. Says nothing about what is still under way: settle first."""
        frames = self.poll()
        if frames:
            raise Failure(f"{len(frames)} frames arrived where none was due: {frames[0].frame[:32].hex()}")
