# SPDX-License-Identifier: BSD-3-Clause
"""A split virtqueue, driven as a guest's driver would, or as no driver ever should.

The rings lie in guest memory (vhost_user.GuestMemory). Sizes, flags, addresses and links of descriptors can all
be overridden. Indexes are written with one 16-bit store each; on x86 stores stay in order, so that entries are
visible before the index that announces them.
"""

import os
import struct

NEXT = 1
WRITE = 2
INDIRECT = 4

NO_INTERRUPT = 1
"""Flag in the available ring: the driver wants no interrupts."""
NO_NOTIFY = 1
"""Flag in the used ring: the device wants no kicks."""

_DESC = struct.Struct("=QIHH")
DESC_SIZE = _DESC.size


class Desc:
    """One descriptor as it is to stand in the table. None: what a well-behaved driver would write there."""

    def __init__(self, addr, length, flags=None, link=None, owns=None):
        self.addr = addr
        self.length = length
        self.flags = flags
        self.link = link
        self.owns = owns  # (gpa, size, align, region) to be given back once the chain is used


class Chain:
    """What was posted: its head, its descriptors, and the slots of the table that it occupies."""

    def __init__(self, head, descs, slots, owns):
        self.head = head
        self.descs = descs
        self.slots = slots
        self.owns = owns


class Virtqueue:
    """One ring. `device_writes`: a receive queue, its descriptors are writable unless said otherwise."""

    def __init__(self, memory, size, device_writes, event_idx=False, region=None):
        self.memory = memory
        self.size = size
        self.device_writes = device_writes
        self.event_idx = event_idx
        region = region or memory.regions[0]
        self._region = region
        self._areas = ((DESC_SIZE * size, 4096), (6 + 2 * size, 4096), (6 + 8 * size, 4096))
        self.desc, self.avail, self.used = (memory.alloc(n, a, region) for n, a in self._areas)
        self._map = region.map
        self._desc = self.desc - region.gpa
        self._avail = (self.avail - region.gpa) // 2
        self._used = (self.used - region.gpa) // 2
        self.kick_fd, self.call_fd, self.err_fd = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(3))
        self.reset()

    def reset(self):
        """Empty the rings, as a driver does before it starts the queue."""
        for gpa, (n, _) in zip((self.desc, self.avail, self.used), self._areas):
            self.memory.write(gpa, bytes(n))
        self.chains = {}
        self.free = list(range(self.size - 1, -1, -1))
        self.avail_idx = 0
        self.last_used = 0
        self.want_interrupts(False)

    def close(self):
        """Give memory and file descriptors back."""
        if self.kick_fd < 0:
            return
        for gpa, (n, align) in zip((self.desc, self.avail, self.used), self._areas):
            self.memory.free(gpa, n, align, self._region)
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            os.close(fd)
        self.kick_fd = self.call_fd = self.err_fd = -1

    # -- descriptors ------------------------------------------------------------------------------------------

    def write_desc(self, slot, addr, length, flags, link):
        """Write one entry of the table as it is."""
        _DESC.pack_into(self._map, self._desc + DESC_SIZE * slot, addr, length, flags, link)

    def _flags(self, desc, last):
        if desc.flags is not None:
            return desc.flags
        return (WRITE if self.device_writes else 0) | (0 if last else NEXT)

    def post(self, descs, indirect=False):
        """Write a chain into the table and its head into the available ring; publish() shows it to the device.

        @return the Chain
        """
        owns = [d.owns for d in descs if d.owns]
        if indirect:
            n = DESC_SIZE * len(descs)
            table = self.memory.alloc(n, 16, self._region)
            entries = b""
            for i, d in enumerate(descs):
                link = i + 1 if d.link is None else d.link
                last = i == len(descs) - 1
                entries += _DESC.pack(d.addr, d.length, self._flags(d, last), 0 if last and d.link is None else link)
            self.memory.write(table, entries)
            owns.append((table, n, 16, self._region))
            slots = [self.free.pop()]
            self.write_desc(slots[0], table, n, INDIRECT, 0)
        else:
            if len(descs) > len(self.free):
                raise BufferError(f"{len(descs)} descriptors asked for, {len(self.free)} free")
            slots = [self.free.pop() for _ in descs]
            for i, d in enumerate(descs):
                last = i == len(descs) - 1
                link = d.link
                if link is None:
                    link = 0 if last else slots[i + 1]
                self.write_desc(slots[i], d.addr, d.length, self._flags(d, last), link)
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
        """The flag of the available ring; counts only without EVENT_IDX."""
        self._region.u16[self._avail] = 0 if wanted else NO_INTERRUPT

    def set_used_event(self, index):
        """EVENT_IDX: interrupt when this entry of the used ring has been written."""
        self._region.u16[self._avail + 2 + self.size] = index & 0xFFFF

    def interrupts(self):
        """How often the device has signalled since the last call."""
        try:
            return os.eventfd_read(self.call_fd)
        except BlockingIOError:
            return 0

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

    @property
    def n_unused(self):
        """Chains that the device has not given back yet."""
        return len(self.chains)

    def reap(self):
        """Take what the device has used: a list of (Chain, length); their descriptors are free again.

        The memory of their buffers is still the caller's to read; release() gives it back.
        """
        found = []
        end = self.used_idx
        while self.last_used != end:
            head, length = self.used_entry(self.last_used)
            self.last_used = (self.last_used + 1) & 0xFFFF
            chain = self.chains.pop(head, None)
            if chain is None:
                raise AssertionError(f"the device used head {head}, which it does not have")
            self.free.extend(chain.slots)
            found.append((chain, length))
        return found

    def release(self, chain):
        """Give the memory of a used chain back."""
        for gpa, size, align, region in chain.owns:
            self.memory.free(gpa, size, align, region)
        chain.owns = []
