# SPDX-License-Identifier: BSD-3-Clause
"""A virtqueue, split or packed, driven as a guest's driver would, or as no driver ever should.

The rings lie in guest memory (vhost_user.GuestMemory). Sizes, flags, addresses and links of descriptors can all
be overridden. Indexes and the flags that hand a descriptor over are written with one 16-bit store each; on x86 stores
stay in order, so that entries are visible before what announces them.

Both layouts have the same verbs. With IN_ORDER the device may use a batch of chains by one entry that names the last
(virtio 1.2, 2.7 and 2.8: "In-order use of descriptors"); reap() tells such a batch apart into its chains.
"""

import collections
import os
import struct

import vhost_user as vu

NEXT = 1
WRITE = 2
INDIRECT = 4
AVAIL = 1 << 7
"""Packed: equal to the driver's wrap counter in a descriptor that is the device's."""
USED = 1 << 15
"""Packed: equal to AVAIL in a descriptor that has come back."""

NO_INTERRUPT = 1
"""Split, flag in the available ring: the driver wants no interrupts."""
NO_NOTIFY = 1
"""Split, flag in the used ring: the device wants no kicks."""

EVENTS_ON = 0
EVENTS_OFF = 1
EVENTS_AT = 2
"""Packed: what the event areas say; EVENTS_AT only with EVENT_IDX."""

WRAP = 1 << 15
"""In a packed ring's position: the wrap counter, above the index."""

_DESC = struct.Struct("=QIHH")
_USED_DESC = struct.Struct("=IHH")
DESC_SIZE = _DESC.size


class Desc:
    """One descriptor as it is to stand in the table. None: what a well-behaved driver would write there.

    `link` is a split ring's field `next`; a packed ring has none.
    """

    def __init__(self, addr, length, flags=None, link=None, owns=None):
        self.addr = addr
        self.length = length
        self.flags = flags
        self.link = link
        self.owns = owns  # (gpa, size, align, region) to be given back once the chain is used


class Chain:
    """What was posted: its head (packed: its buffer id), its descriptors, and the slots of the ring it occupies."""

    def __init__(self, head, descs, slots, owns):
        self.head = head
        self.descs = descs
        self.slots = slots
        self.owns = owns

    @property
    def room(self):
        return sum(d.length for d in self.descs)


class Virtqueue:
    """What both layouts share.

    `device_writes`  a receive queue: its descriptors are writable unless said otherwise
    `free`           one entry for each descriptor that can still be posted
    `chains`         what the device has, by head (or buffer id), in the order of posting
    `n_elements`     used elements that reap() has read; less than the chains if the device used them in batches
    """

    START_BASE = 0
    """What SET_VRING_BASE says of an empty ring."""

    def __init__(self, memory, size, device_writes, areas, event_idx, in_order, region):
        self.memory = memory
        self.size = size
        self.device_writes = device_writes
        self.event_idx = event_idx
        self.in_order = in_order
        self._region = region or memory.regions[0]
        self._map = self._region.map
        self._areas = areas
        self.desc, self.avail, self.used = (memory.alloc(n, a, self._region) for n, a in areas)
        self._desc = self.desc - self._region.gpa
        self._avail = (self.avail - self._region.gpa) // 2
        self._used = (self.used - self._region.gpa) // 2
        self.kick_fd, self.call_fd, self.err_fd = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(3))
        self.n_elements = 0
        self.chains = {}
        self.free = collections.deque()
        self.reset()

    def _clear(self):
        for gpa, (n, _) in zip((self.desc, self.avail, self.used), self._areas):
            self.memory.write(gpa, bytes(n))
        self.chains = {}
        self.free = collections.deque(range(self.size - 1, -1, -1))

    def reset(self):
        """Empty the rings, as a driver does before it starts the queue."""
        self.begin_at(self.START_BASE)

    def begin_at(self, base):
        """Empty the rings as if they had run for a while: `base` is what SET_VRING_BASE will say."""
        raise NotImplementedError

    @property
    def base(self):
        """Where the next chain will be posted, as SET_VRING_BASE and GET_VRING_BASE say it."""
        raise NotImplementedError

    def close(self):
        """Give memory and file descriptors back."""
        if self.kick_fd < 0:
            return
        for gpa, (n, align) in zip((self.desc, self.avail, self.used), self._areas):
            self.memory.free(gpa, n, align, self._region)
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            os.close(fd)
        self.kick_fd = self.call_fd = self.err_fd = -1

    def areas(self):
        """(address, bytes) of the three parts of the ring: descriptors, the driver's area, the device's area."""
        return [(gpa, n) for gpa, (n, _) in zip((self.desc, self.avail, self.used), self._areas)]

    # -- descriptors ------------------------------------------------------------------------------------------

    def _flags(self, desc, last):
        if desc.flags is not None:
            return desc.flags
        return (WRITE if self.device_writes else 0) | (0 if last else NEXT)

    def _take_slots(self, n):
        if n > len(self.free):
            raise BufferError(f"{n} descriptors asked for, {len(self.free)} free")
        return [self.free.pop() for _ in range(n)]

    def _entry(self, descs, i):
        """One descriptor of an indirect table."""
        raise NotImplementedError

    def _table(self, descs):
        """An indirect table in memory: its address, its length, and what the chain owns by it."""
        n = DESC_SIZE * len(descs)
        table = self.memory.alloc(n, 16, self._region)
        self.memory.write(table, b"".join(self._entry(descs, i) for i in range(len(descs))))
        return table, n, (table, n, 16, self._region)

    # -- interrupts -------------------------------------------------------------------------------------------

    def interrupts(self):
        """How often the device has signalled since the last call."""
        try:
            return os.eventfd_read(self.call_fd)
        except BlockingIOError:
            return 0

    def want_interrupts(self, wanted):
        """All interrupts or none; a split ring's device does not look at it with EVENT_IDX."""
        raise NotImplementedError

    def interrupt_at(self, ahead):
        """EVENT_IDX: one interrupt, when the entry `ahead` places after those already reaped has been used."""
        raise NotImplementedError

    # -- used chains ------------------------------------------------------------------------------------------

    @property
    def n_unused(self):
        """Chains that the device has not given back yet."""
        return len(self.chains)

    def _used_up_to(self, head, length):
        """The chains that one used element stands for: a list of (Chain, length)."""
        self.n_elements += 1
        if head not in self.chains:
            raise AssertionError(f"the device used head {head}, which it does not have")
        if not self.in_order:
            return [(self.chains.pop(head), length)]
        batch = []
        while True:
            first = next(iter(self.chains))
            chain = self.chains.pop(first)
            if first == head:
                return batch + [(chain, length)]
            # no element of its own: used from end to end
            batch.append((chain, chain.room if self.device_writes else 0))

    def _give_back(self, chain):
        if self.in_order:
            self.free.extendleft(chain.slots)  # posted again only when the ring has come round to them
        else:
            self.free.extend(chain.slots)

    def release(self, chain):
        """Give the memory of a used chain back."""
        for gpa, size, align, region in chain.owns:
            self.memory.free(gpa, size, align, region)
        chain.owns = []


class SplitQueue(Virtqueue):
    """Descriptor table, available ring and used ring."""

    def __init__(self, memory, size, device_writes, event_idx=False, in_order=False, region=None):
        areas = ((DESC_SIZE * size, 4096), (6 + 2 * size, 4096), (6 + 8 * size, 4096))
        self.avail_idx = self.last_used = 0
        super().__init__(memory, size, device_writes, areas, event_idx, in_order, region)

    def begin_at(self, base):
        self._clear()
        self.avail_idx = self.last_used = base
        self._region.u16[self._avail + 1] = self._region.u16[self._used + 1] = base
        self.want_interrupts(False)
        if self.in_order:
            self.free.rotate(base % self.size)

    @property
    def base(self):
        return self.avail_idx

    # -- descriptors ------------------------------------------------------------------------------------------

    def write_desc(self, slot, addr, length, flags, link):
        """Write one entry of the table as it is."""
        _DESC.pack_into(self._map, self._desc + DESC_SIZE * slot, addr, length, flags, link)

    def _link(self, descs, i, following):
        if descs[i].link is not None:
            return descs[i].link
        return 0 if i == len(descs) - 1 else following

    def _entry(self, descs, i):
        flags = self._flags(descs[i], i == len(descs) - 1)
        return _DESC.pack(descs[i].addr, descs[i].length, flags, self._link(descs, i, i + 1))

    def post(self, descs, indirect=False):
        """Write a chain into the table and its head into the available ring; publish() shows it to the device.

        @return the Chain
        """
        owns = [d.owns for d in descs if d.owns]
        if indirect:
            table, n, own = self._table(descs)
            owns.append(own)
            slots = self._take_slots(1)
            self.write_desc(slots[0], table, n, INDIRECT, 0)
        else:
            slots = self._take_slots(len(descs))
            for i, d in enumerate(descs):
                following = slots[(i + 1) % len(slots)]
                self.write_desc(slots[i], d.addr, d.length, self._flags(d, i == len(descs) - 1),
                                self._link(descs, i, following))
        chain = Chain(slots[0], descs, slots, owns)
        self.chains[chain.head] = chain
        self.post_head(chain.head)
        return chain

    # -- the available ring -----------------------------------------------------------------------------------

    def post_head(self, head):
        """Write a number into the available ring, whatever it points at."""
        self._region.u16[self._avail + 2 + self.avail_idx % self.size] = head
        self.avail_idx = (self.avail_idx + 1) & 0xFFFF

    def publish(self, kick=True):
        """Show the device all that was posted, and kick it if it asks for that; whether it did."""
        old = self._region.u16[self._avail + 1]
        self._region.u16[self._avail + 1] = self.avail_idx
        wanted = self.wants_kick(old)
        if kick and wanted:
            os.eventfd_write(self.kick_fd, 1)
        return wanted

    def publish_index(self, index):
        """Write the available index as it is, without touching entries."""
        self._region.u16[self._avail + 1] = index & 0xFFFF

    def want_interrupts(self, wanted):
        self._region.u16[self._avail] = 0 if wanted else NO_INTERRUPT

    def set_used_event(self, index):
        """EVENT_IDX: interrupt when this entry of the used ring has been written."""
        self._region.u16[self._avail + 2 + self.size] = index & 0xFFFF

    def interrupt_at(self, ahead):
        self.set_used_event(self.last_used + ahead)

    # -- the used ring ----------------------------------------------------------------------------------------

    @property
    def used_flags(self):
        return self._region.u16[self._used]

    @property
    def used_idx(self):
        return self._region.u16[self._used + 1]

    @property
    def avail_event(self):
        return self._region.u16[self._used + 2 + 4 * self.size]

    def wants_kick(self, old):
        """Whether the device asks for a kick, now that the available index went on from `old`."""
        if self.event_idx:
            return (self.avail_idx - self.avail_event - 1) & 0xFFFF < (self.avail_idx - old) & 0xFFFF
        return not self.used_flags & NO_NOTIFY

    def used_entry(self, index):
        """(id, length) of an entry of the used ring."""
        offset = self.used - self._region.gpa + 4 + 8 * (index % self.size)
        return struct.unpack_from("=II", self._map, offset)

    def reap(self):
        """Take what the device has used: a list of (Chain, length); their descriptors are free again.

        The memory of their buffers is still the caller's to read; release() gives it back.
        """
        found = []
        end = self.used_idx
        while self.last_used != end:
            batch = self._used_up_to(*self.used_entry(self.last_used))
            if len(batch) > (end - self.last_used) & 0xFFFF:
                raise AssertionError(f"a batch of {len(batch)} goes beyond the used index {end}")
            self.last_used = (self.last_used + len(batch)) & 0xFFFF
            found += batch
        for chain, _ in found:
            self._give_back(chain)
        return found


class PackedQueue(Virtqueue):
    """One ring of descriptors that go to the device and come back, and an area for each side's wishes.

    `desc`, `avail` and `used` are the descriptor ring, the driver's and the device's event area: the names by which
    SET_VRING_ADDR has them. A position is an index with its wrap counter in bit 15.
    """

    START_BASE = WRAP

    def __init__(self, memory, size, device_writes, event_idx=False, in_order=False, region=None):
        areas = ((DESC_SIZE * size, 4096), (4, 4096), (4, 4096))
        self.next_avail = self.next_used = WRAP
        self._unpublished = []  # (slot, flags) of heads
        super().__init__(memory, size, device_writes, areas, event_idx, in_order, region)

    def begin_at(self, base):
        self._clear()
        self.next_avail = self.next_used = base & 0xFFFF
        self._unpublished = []
        for slot in range(self.size):
            # used already: those behind in this round, those ahead in the round before
            if (slot < (base & ~WRAP)) == bool(base & WRAP):
                self._set_flags(slot, AVAIL | USED)
        self.want_interrupts(False)

    @property
    def base(self):
        return self.next_avail

    def _ahead(self, position, n):
        """The position n descriptors further on."""
        index = (position & ~WRAP) + n
        wraps, index = divmod(index, self.size)
        return index | ((position & WRAP) ^ (WRAP if wraps % 2 else 0))

    # -- descriptors ------------------------------------------------------------------------------------------

    def write_desc(self, slot, addr, length, ident, flags):
        """Write one descriptor as it is."""
        _DESC.pack_into(self._map, self._desc + DESC_SIZE * slot, addr, length, ident, flags)

    def _flags_at(self, slot):
        return self._region.u16[self._desc // 2 + DESC_SIZE // 2 * slot + 7]

    def _set_flags(self, slot, flags):
        self._region.u16[self._desc // 2 + DESC_SIZE // 2 * slot + 7] = flags

    def _entry(self, descs, i):
        # only WRITE means something in a packed ring's indirect table
        flags = descs[i].flags
        if flags is None:
            flags = WRITE if self.device_writes else 0
        return _DESC.pack(descs[i].addr, descs[i].length, 0, flags)

    def post(self, descs, indirect=False, ident=None):
        """Write a chain into the ring, all but the flags of its head; publish() shows it to the device.

        `ident` is its buffer id: any number will do that no other chain has.
        @return the Chain
        """
        owns = [d.owns for d in descs if d.owns]
        entries = descs
        if indirect:
            table, n, own = self._table(descs)
            owns.append(own)
            entries = [Desc(table, n, INDIRECT)]
        slots = self._take_slots(len(entries))
        ident = slots[0] if ident is None else ident
        for i, d in enumerate(entries):
            index = self.next_avail & ~WRAP
            flags = self._flags(d, i == len(entries) - 1) | (AVAIL if self.next_avail & WRAP else USED)
            if i == 0:
                self._unpublished.append((index, flags))
                flags = self._flags_at(index)
            # the last one's id is the chain's, whatever stands in the others (virtio 1.2, 2.8.6)
            last = i == len(entries) - 1
            self.write_desc(index, d.addr, d.length, ident if last else ident ^ 0x5A5A, flags)
            self.next_avail = self._ahead(self.next_avail, 1)
        chain = Chain(ident, descs, slots, owns)
        self.chains[ident] = chain
        return chain

    def publish(self, kick=True):
        """Show the device all that was posted, and kick it if it asks for that; whether it did."""
        old = self._unpublished[0][0] if self._unpublished else self.next_avail & ~WRAP
        for slot, flags in self._unpublished:
            self._set_flags(slot, flags)
        self._unpublished = []
        wanted = self.wants_kick(old)
        if kick and wanted:
            os.eventfd_write(self.kick_fd, 1)
        return wanted

    # -- the event areas --------------------------------------------------------------------------------------

    def set_driver_event(self, flags, position=0):
        """Write the driver's event area as it is."""
        self._region.u16[self._avail] = position
        self._region.u16[self._avail + 1] = flags

    def want_interrupts(self, wanted):
        self.set_driver_event(EVENTS_ON if wanted else EVENTS_OFF)

    def interrupt_at(self, ahead):
        self.set_driver_event(EVENTS_AT, self._ahead(self.next_used, ahead))

    @property
    def used_flags(self):
        """What the device says about kicks: EVENTS_ON, EVENTS_OFF or EVENTS_AT."""
        return self._region.u16[self._used + 1]

    def wants_kick(self, old):
        """Whether the device asks for a kick, now that the driver went on from the index `old`."""
        if self.used_flags != EVENTS_AT:
            return self.used_flags == EVENTS_ON
        wish = self._region.u16[self._used]
        new, wanted = self.next_avail & ~WRAP, wish & ~WRAP
        if (wish ^ self.next_avail) & WRAP:
            wanted -= self.size
        if old > new:
            old -= self.size
        return (new - wanted - 1) & 0xFFFF < (new - old) & 0xFFFF

    # -- used descriptors -------------------------------------------------------------------------------------

    def used_desc(self, slot):
        """(length, id, flags) of a descriptor."""
        return _USED_DESC.unpack_from(self._map, self._desc + DESC_SIZE * slot + 8)

    def reap(self):
        """Take what the device has used: a list of (Chain, length); their descriptors are free again.

        The memory of their buffers is still the caller's to read; release() gives it back.
        """
        found = []
        while self.chains:
            both = AVAIL | USED if self.next_used & WRAP else 0
            slot = self.next_used & ~WRAP
            if self._flags_at(slot) & (AVAIL | USED) != both:
                break
            length, ident, flags = self.used_desc(slot)
            # without WRITE nothing was written, and the length says nothing
            batch = self._used_up_to(ident, length if flags & WRITE else 0)
            self.next_used = self._ahead(self.next_used, sum(len(chain.slots) for chain, _ in batch))
            found += batch
        for chain, _ in found:
            self._give_back(chain)
        return found


def new_queue(memory, size, device_writes, features, region=None):
    """A ring as the negotiated features want it."""
    layout = PackedQueue if features & vu.F_RING_PACKED else SplitQueue
    return layout(memory, size, device_writes, bool(features & vu.F_EVENT_IDX), bool(features & vu.F_IN_ORDER), region)
