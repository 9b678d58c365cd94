/* SPDX-License-Identifier: Apache-2.0 */
/* iface_udp.h - a node's wire over real UDP sockets. Rank 6.
 *
 * The kernel writes and checks the outer IPv4 and UDP headers; packets cross this interface at the
 * tunnel payload. Bulk crosses the kernel as UDP_SEGMENT and UDP_GRO super-datagrams.
 */
#ifndef NETSIM_IFACE_UDP_H
#define NETSIM_IFACE_UDP_H

#include "iface.h"

enum { UDP_SENDERS_MAX = 64 };

/**
 * iface_udp_new() - Make a wire of bound UDP sockets
 * @out:	the iface, on success; its close() closes all of @fds
 * @fds:	fds[0] receives; the others send, chosen by the outer source port; fds[0] sends too
 *if there are no others
 * @count:	1..1 + UDP_SENDERS_MAX
 * @tunnel:	bytes of tunnel header before each inner packet (VXLAN: 22, flannel udp: 0)
 * @df:		whether outer packets may not be fragmented (flannel udp: yes, VXLAN: no)
 *
 * Return: 0, -EINVAL, -ENOMEM, or what setsockopt() says; on failure @fds stay open.
 */
int iface_udp_new(struct iface **out, const int *fds, size_t count, size_t tunnel, bool df);

#endif
