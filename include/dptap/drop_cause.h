/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The causes of a drop: what exactly the place that dropped the packet saw.
 *
 * This one list yields the enumeration, the names and help texts, telemetry's answers and the table in README.md.
 * A cause belongs to one reason, and each is named by the code that found it. Each text is one line
 * of at most 127 characters (what telemetry carries in one string).
 */
#ifndef DPTAP_DROP_CAUSE_H
#define DPTAP_DROP_CAUSE_H

#include "drop_reason.h"

/* clang-format off */
/* X(NAME, name, REASON, "what happened", "the usual culprit", "what to change") */
#define DT_CAUSE_LIST(X) \
	X(GUEST_NOT_CONNECTED, guest_not_connected, NO_SOCKET, \
	  "the packet was for a guest whose socket no front end is connected to", \
	  "the virtual machine is off, or QEMU was given another socket path", \
	  "start it, or compare QEMU's chardev path with the guest's socket in /dptap/port,NAME") \
	X(GUEST_NOT_READY, guest_not_ready, NO_SOCKET, \
	  "QEMU is connected, but the guest's driver has not set its receive queue up yet", \
	  "the guest is in its firmware or boot loader, or has no virtio-net driver loaded", \
	  "wait for the guest to boot; load virtio_net in it") \
	X(GUEST_QUEUE_STOPPED, guest_queue_stopped, NO_SOCKET, \
	  "the guest's receive queue was stopped or disabled while packets were on their way to it", \
	  "the guest reboots, unloads its driver, is paused by its monitor, or was migrated away", \
	  "nothing if that was intended; else look why the machine was stopped") \
	X(GUEST_QUEUE_BROKEN, guest_queue_broken, NO_SOCKET, \
	  "the guest's receive queue made no sense any more and was taken out of service", \
	  "a bug in the guest's driver, or a guest that attacks the host", \
	  "see the log line of that moment; reset the device or reboot the guest") \
	X(NO_DESTINATION, no_destination, NO_SOCKET, \
	  "a broadcast or multicast frame, or a frame of a pass-through port, found no other port that is up", \
	  "no other guest is running and there is no uplink on this bridge", \
	  "give the guest an uplink, or start the other guests") \
	X(SHUTTING_DOWN, shutting_down, NO_SOCKET, \
	  "the packet was still waiting in a lane when dptap was stopped", \
	  "dptap was asked to stop under traffic", \
	  "nothing") \
	X(FRAME_TOO_SHORT, frame_too_short, PKT_TOO_SMALL, \
	  "a guest sent a frame shorter than an Ethernet header (14 bytes)", \
	  "a bug in the guest's driver, or a program that writes raw frames", \
	  "look in the guest for the program that writes to a packet socket") \
	X(UPLINK_FRAME_TOO_SHORT, uplink_frame_too_short, PKT_TOO_SMALL, \
	  "the NIC handed over a frame whose first buffer is shorter than an Ethernet header (14 bytes)", \
	  "a virtual NIC fed with truncated frames, such as a capture file with a short snap length", \
	  "feed whole frames") \
	X(MAC_NOT_HERE, mac_not_here, OTHERHOST, \
	  "unicast to a MAC address that no port of this bridge owns", \
	  "the NIC is promiscuous and the switch floods; or a guest uses a MAC that is neither configured nor learnt", \
	  "compare the guest's mac= with the address it uses; promiscuous=off if the NIC can filter") \
	X(MAC_IS_SENDER, mac_is_sender, OTHERHOST, \
	  "the owner of the destination MAC is the very port that the frame came from", \
	  "a guest that sends to its own address, or a loop behind a guest", \
	  "look for a bridge inside the guest that reflects frames") \
	X(CLONE_NO_MBUF, clone_no_mbuf, PROTO_MEM, \
	  "a broadcast or multicast frame could not be cloned for one of its destinations: the mbuf pool is empty", \
	  "a broadcast storm, or mbufs= set lower than the lanes can hold", \
	  "raise mbufs= in [dptap]; look for the loop") \
	X(ANNOUNCE_NO_MBUF, announce_no_mbuf, PROTO_MEM, \
	  "the announcement (RARP) of a guest that has moved here could not be made: the mbuf pool is empty", \
	  "mbufs= set lower than the lanes can hold", \
	  "raise mbufs= in [dptap]; the next packet that the guest sends tells its place as well") \
	X(LARGE_NO_MBUF, large_no_mbuf, PROTO_MEM, \
	  "a frame that needs several mbufs found the mbuf pool empty", \
	  "a NIC's driver that holds back more mbufs than its rings have entries", \
	  "raise mbufs= in [dptap]") \
	X(HEAD_BAD_INDEX, head_bad_index, SKB_COPY_DATA, \
	  "the available ring named a descriptor beyond the queue's size", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest; watch whether its queue is declared broken") \
	X(CHAIN_BAD_INDEX, chain_bad_index, SKB_COPY_DATA, \
	  "a descriptor's next field points beyond its table", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(CHAIN_LOOP, chain_loop, SKB_COPY_DATA, \
	  "a descriptor chain has more steps than its table or ring has entries: it never ends", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(CHAIN_CUT_SHORT, chain_cut_short, SKB_COPY_DATA, \
	  "a chain in a packed ring goes on with a descriptor that was not made available", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(CHAIN_DIRECTION, chain_direction, SKB_COPY_DATA, \
	  "a descriptor of a frame to send is marked writable, or one of a receive buffer is not", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(CHAIN_TOO_LONG, chain_too_long, SKB_COPY_DATA, \
	  "a frame of more than 65,550 bytes (64 KiB and an Ethernet header), or of more than 1,024 descriptors", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(INDIRECT_BAD_LENGTH, indirect_bad_length, SKB_COPY_DATA, \
	  "an indirect table's length is zero, no multiple of 16, or beyond the queue's size", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(INDIRECT_NESTED, indirect_nested, SKB_COPY_DATA, \
	  "an indirect table contains another one, or its descriptor continues a chain", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(INDIRECT_NOT_NEGOTIATED, indirect_not_negotiated, SKB_COPY_DATA, \
	  "the guest used an indirect table without having negotiated INDIRECT_DESC", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(ADDR_OUTSIDE_MEMORY, addr_outside_memory, SKB_COPY_DATA, \
	  "a buffer or indirect table lies outside the memory that the guest shares with dptap", \
	  "QEMU runs without share=on for all its memory, or the guest is broken or hostile", \
	  "give all guest memory a memory-backend with share=on") \
	X(MEMORY_VANISHED, memory_vanished, SKB_COPY_DATA, \
	  "guest memory disappeared while the packet was copied: its file was truncated", \
	  "a broken or hostile front end, or hugepages that ran out on the host", \
	  "check the host's free hugepages; restart that virtual machine") \
	X(GUEST_BUFFER_TOO_SMALL, guest_buffer_too_small, SKB_COPY_DATA, \
	  "the frame is larger than the receive buffers that the guest offers can ever hold", \
	  "jumbo frames towards a guest without mergeable receive buffers", \
	  "leave mrg_rxbuf on in QEMU, raise the guest's MTU, or lower the sender's") \
	X(FRAME_EXCEEDS_MTU, frame_exceeds_mtu, SKB_GSO_SEG, \
	  "the frame is larger than the uplink's MTU and may not be cut", \
	  "the guest's MTU is above the uplink's", \
	  "lower the guest's MTU, or raise mtu= of the uplink") \
	X(SEGMENT_EXCEEDS_MTU, segment_exceeds_mtu, SKB_GSO_SEG, \
	  "a packet was to be cut into segments that are larger than the uplink's MTU", \
	  "the guest's MTU is above the uplink's", \
	  "lower the guest's MTU, or raise mtu= of the uplink") \
	X(GSO_TOO_MANY_SEGMENTS, gso_too_many_segments, SKB_GSO_SEG, \
	  "packets of one burst were to be cut into more segments than their lane holds (or 4,096): the rest was not made", \
	  "a sender with a very small segment size, or one that wants to keep the worker busy", \
	  "raise the MTU or MSS in the sending guest; let the receiving one take tso and gso") \
	X(UPLINK_ONE_SEGMENT, uplink_one_segment, SKB_GSO_SEG, \
	  "the frame lies in several mbufs, the NIC takes one, and the frame does not fit into it", \
	  "jumbo frames on a NIC whose driver cannot send from several buffers", \
	  "lower the MTU, or use a NIC with multi-segment transmit") \
	X(GSO_MALFORMED, gso_malformed, SKB_GSO_SEG, \
	  "a packet that a guest left to be cut has other headers or lengths than its virtio_net_hdr promised", \
	  "a broken or hostile driver in the guest, or a program that writes such packets to a packet socket", \
	  "update or reboot the guest; look in it for that program") \
	X(GSO_NO_MBUF, gso_no_mbuf, SKB_GSO_SEG, \
	  "a large packet could not be cut into segments, or not to its end: the mbuf pool is empty", \
	  "many large packets at once to a guest that reads slowly or takes no large ones", \
	  "raise mbufs= in [dptap]; let the receiving guest take tso and gso") \
	X(GSO_TAKEN_NO_MORE, gso_taken_no_more, SKB_GSO_SEG, \
	  "a large packet waited for a guest that meanwhile started its device anew, and takes no such packets any more", \
	  "the guest's driver was loaded again with other settings, or another system was booted, under traffic", \
	  "nothing; the sender repeats it, and is cut for from then on") \
	X(CSUM_MALFORMED, csum_malformed, SKB_CSUM, \
	  "a checksum that was left to be completed lies outside its packet", \
	  "a network driver that hands over packets with transmit flags set", \
	  "report it to the maintainers of dptap, with the name of the driver") \
	X(CSUM_NO_MBUF, csum_no_mbuf, SKB_CSUM, \
	  "a checksum could not be completed: the packet is shared and had to be copied, but the mbuf pool is empty", \
	  "a broadcast storm, or mbufs= set lower than the lanes can hold", \
	  "raise mbufs= in [dptap]; look for the loop") \
	X(HDR_TRUNCATED, hdr_truncated, DEV_HDR, \
	  "the chain ends before its virtio_net_hdr does", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(HDR_GSO_TYPE, hdr_gso_type, DEV_HDR, \
	  "virtio_net_hdr names a segmentation type that does not exist", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(HDR_GSO_SIZE, hdr_gso_size, DEV_HDR, \
	  "virtio_net_hdr asks for segments of 0 or 65,535 bytes, or USO for more than 128 datagrams", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(HDR_GSO_NOT_NEGOTIATED, hdr_gso_not_negotiated, DEV_HDR, \
	  "virtio_net_hdr asks for a segmentation that was not negotiated", \
	  "a broken or hostile driver in the guest, or one that kept its offloads over a restart", \
	  "reset the guest's network device; update its driver") \
	X(HDR_GSO_CSUM, hdr_gso_csum, DEV_HDR, \
	  "virtio_net_hdr asks for a segmentation, but not for the checksum that goes with it", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(HDR_GSO_PROTOCOL, hdr_gso_protocol, DEV_HDR, \
	  "virtio_net_hdr asks for a segmentation of TCP or UDP, and the packet is neither", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(HDR_LEN_TOO_LONG, hdr_len_too_long, DEV_HDR, \
	  "virtio_net_hdr says that the headers are longer than the packet", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(HDR_CSUM_START, hdr_csum_start, DEV_HDR, \
	  "virtio_net_hdr lets the checksum begin in front of where a transport header can be", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(HDR_CSUM_RANGE, hdr_csum_range, DEV_HDR, \
	  "virtio_net_hdr places the checksum outside the packet", \
	  "a broken or hostile driver in the guest", \
	  "update or reboot the guest") \
	X(HDR_CSUM_NOT_NEGOTIATED, hdr_csum_not_negotiated, DEV_HDR, \
	  "virtio_net_hdr leaves a checksum to dptap although that was not negotiated", \
	  "a broken or hostile driver in the guest, or one that kept its offloads over a restart", \
	  "reset the guest's network device; update its driver") \
	X(NIC_REFUSES_OFFLOAD, nic_refuses_offload, DEV_HDR, \
	  "the NIC's driver refused the checksum or segmentation work that the packet carries", \
	  "a limit of the NIC that its driver does not report, such as a shortest segment or a longest header", \
	  "switch the offload off in the guest (ethtool -K), or for the uplink by offloads_off=") \
	X(LANE_GUEST_NO_BUFFERS, lane_guest_no_buffers, FULL_RING, \
	  "the lane was full because the guest had no receive buffer left for what waited in it", \
	  "the guest is overloaded, stalled or frozen, or its receive queue is too short for its bursts", \
	  "give the guest CPU time; rx_queue_size=1024 in QEMU; queue_len= for longer bursts") \
	X(LANE_WORKER_BUSY, lane_worker_busy, FULL_RING, \
	  "the lane was full although its consumer still took packets: the worker that drains it did not keep up", \
	  "too few workers for the load, or a worker that shares its core with something else", \
	  "more lcores (-l); isolate them; compare busy_cycles in /dptap/lcores") \
	X(LANE_QUEUE_PAUSED, lane_queue_paused, FULL_RING, \
	  "the lane filled while the guest's queue was paused for a change of its memory or rings", \
	  "memory hot-plug or a device reset under load, or a front end that never finished the change", \
	  "raise queue_len= if it recurs; restart the virtual machine if its queue stays paused") \
	X(LANE_UPLINK_FULL, lane_uplink_full, FULL_RING, \
	  "the lane was full because the NIC accepted no more packets", \
	  "guests send more than the link carries, or pause frames stop it", \
	  "a faster link; look at the NIC's own counters in /ethdev/xstats") \
	X(LANE_UPLINK_LINK_DOWN, lane_uplink_link_down, FULL_RING, \
	  "the lane filled while the uplink's link was down", \
	  "cable, switch port, or the other end of a virtual link", \
	  "bring the link up; /dptap/ports shows its state") \
	X(LANE_LARGE_FULL, lane_large_full, FULL_RING, \
	  "the lane had room for packets, but held as many mbufs of jumbo or GSO frames as a lane may", \
	  "a guest or NIC that takes bursts of 64 KiB packets too slowly", \
	  "as for the lane's other causes; the bound is twice queue_len= in mbufs of 2 KiB")
/* clang-format on */

enum dt_cause {
#define X(NAME, name, reason, what, culprit, remedy) DT_CAUSE_##NAME,
	DT_CAUSE_LIST(X)
#undef X
		DT_CAUSE_MAX /* how many, not a cause */
};

#endif
