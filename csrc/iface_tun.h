/* SPDX-License-Identifier: Apache-2.0 */
/* iface_tun.h - a TUN device, or any descriptor that carries the same datagrams. Rank 6.
 *
 * Each read and write is a 10-byte virtio header and one IPv4 packet (IFF_VNET_HDR). What the
 * header claims is checked against the bytes; packets that contradict it are dropped as BAD_L4.
 */
#ifndef NETSIM_IFACE_TUN_H
#define NETSIM_IFACE_TUN_H

#include "iface.h"

/**
 * iface_tun_new() - Make an iface of an open TUN descriptor
 * @out:	the iface, on success; its close() closes @fd
 * @fd:		TUN of one queue with a 10-byte virtio header; made nonblocking
 *
 * Return: 0, -ENOMEM, or what fcntl() says; on failure @fd stays open.
 */
int iface_tun_new(struct iface **out, int fd);

/**
 * vnet_accept() - Check a virtio header against its packet and take over what it says
 * @h:		header, from a stranger
 * @p:		packet with data and len set; flags, gso_*, hdr_len and csum_offset are set
 *
 * A partial checksum that is not the outermost TCP or UDP one is completed at once.
 *
 * Return: false if the header contradicts the packet.
 */
bool vnet_accept(const struct vnet_hdr *h, struct packet *p);

/**
 * vnet_describe() - The virtio header for a packet that leaves
 */
struct vnet_hdr vnet_describe(const struct packet *p);

#endif
