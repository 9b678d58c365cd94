/* SPDX-License-Identifier: Apache-2.0 */
/* icmp_quote.h - ICMP errors and the packet that they quote. Rank 3.
 *
 * The key of an ICMP error is that of the quoted packet, reversed: the direction in which the error
 * itself travels. Its outer addresses may differ from it (errors come from hops).
 */
#ifndef NETSIM_ICMP_QUOTE_H
#define NETSIM_ICMP_QUOTE_H

#include "packet.h"

/* What an ICMP type means to connection tracking. */
enum icmp_class {
	ICMP_CLASS_OTHER, /* dropped: belongs to no connection */
	ICMP_CLASS_REQUEST,
	ICMP_CLASS_ANSWER,
	ICMP_CLASS_ERROR,
};

enum icmp_class icmp_class(uint8_t type);

/**
 * icmp_quote_parse() - Check an ICMP error and read the key of the packet it quotes
 * @p:		unfragmented ICMP error; l4_off valid, at least 8 bytes of ICMP
 *
 * Sets p->key. Return: DROP_NONE, DROP_BAD_L4 (checksum, truncated quote), DROP_ICMP_UNRELATED
 * (quotes what nobody tracks: a later fragment, another error).
 */
enum drop_reason icmp_quote_parse(struct packet *p);

/**
 * icmp_quote_rewrite() - Make the quote that of a packet whose reversed key is p->to
 * @p:		ICMP error that icmp_quote_parse() accepted
 *
 * Addresses, ports and checksums inside, and the ICMP checksum; not the outer IPv4 header.
 */
void icmp_quote_rewrite(struct packet *p);

#endif
