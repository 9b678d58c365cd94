"""Numbers and words of rows into C's structures and back: the only place that knows byte order.

Addresses are integers, IPv4 below 2**32. Errors of to_*() are ValueError, OverflowError or
TypeError; who calls says which row. from_*() take the module records, whose classes they make.
"""

from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.errno cimport EEXIST, EINVAL, ENOENT, ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strerror

from netsim.dataplane cimport core


cdef inline int64_t check(int64_t rc, object what) except -1:
    """Pass on what is not an error; raise what is, naming the row."""
    if rc >= 0:
        return rc
    text = strerror(<int>-rc).decode()
    if rc == -EINVAL or rc == -EEXIST:
        raise ValueError(f"{what}: {text}")
    if rc == -ENOENT:
        raise LookupError(f"{what}: {text}")
    if rc == -ENOMEM:
        raise MemoryError(f"{what}: {text}")
    raise OSError(-rc, f"{what}: {text}")


cdef inline core.addr to_addr(object value) except *:
    cdef core.addr a
    cdef int overflow = 0
    cdef long long n = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow == 0 and 0 <= n <= 0xffffffff:
        return core.addr_from_v4(core.to_be32(<uint32_t>n))
    wide = value.to_bytes(16, "big")
    memcpy(&a, <const char *>wide, sizeof(a))
    return a


cdef inline core.addr to_addr_or_any(object value) except *:
    """Zero is not 0.0.0.0 but no address at all."""
    cdef core.addr a
    memset(&a, 0, sizeof(a))
    return to_addr(value) if value else a


cdef inline object from_addr(core.addr a):
    if core.addr_is_v4(a):
        return core.from_be32(core.addr_to_v4(a))
    return int.from_bytes((<const char *>&a)[:sizeof(a)], "big")


cdef inline uint8_t to_length(object prefix, object length) except? 255:
    """In bits of the 16-byte form: IPv4 /24 is 120."""
    if not 0 <= length <= (32 if prefix <= 0xffffffff else 128):
        raise ValueError(f"prefix length {length}")
    return length + 96 if prefix <= 0xffffffff else length


cdef inline int to_range(core.source_range *out, object prefix, object length) except -1:
    """IPv4. ValueError: bits beyond the length."""
    cdef uint32_t mask = 0xffffffff
    if not 0 <= length <= 32 or not 0 <= prefix <= mask:
        raise ValueError(f"range {prefix}/{length}")
    mask = <uint32_t>((<uint64_t>mask << (32 - <int>length)) & mask)
    if <uint32_t>prefix & ~mask:
        raise ValueError(f"range {prefix}/{length} has bits beyond its length")
    out.prefix = core.addr_from_v4(core.to_be32(<uint32_t>prefix))
    out.mask = core.addr_from_v4(core.to_be32(mask))
    out.mask.w[0] = ~<uint64_t>0
    out.mask.w[1] |= 0xffffffff
    return 0


cdef inline uint64_t to_node_number(str name):
    raw = name.encode()
    return core.name_number(<const char *>raw, len(raw))


cdef inline int to_mac(uint8_t *out, bytes mac) except -1:
    if len(mac) not in (0, 6):
        raise ValueError(f"{len(mac)} bytes of MAC address")
    memset(out, 0, 6)
    memcpy(out, <const char *>mac, len(mac))
    return 0


cdef inline int to_name(char *out, size_t room, str name) except -1:
    """Names in C are for people: a longer one is cut."""
    raw = name.encode()
    memset(out, 0, room)
    memcpy(out, <const char *>raw, min(<size_t>len(raw), room - 1))
    return 0


cdef inline object lookup(dict table, object word, str what):
    try:
        return table[word]
    except KeyError:
        raise ValueError(f"{what} {word!r}: choose one of {', '.join(table)}") from None


cdef inline int to_service_key(core.service_key *out, object row) except -1:
    memset(out, 0, sizeof(out[0]))
    out.addr = to_addr(row.addr)
    out.port = core.to_be16(row.port)
    out.proto = row.proto
    return 0


cdef inline core.iface_config to_iface(uint32_t node, uint8_t role, str name, object mtu,
                                       object addr) except *:
    cdef core.iface_config c
    memset(&c, 0, sizeof(c))
    c.node = node
    c.role = role
    to_name(c.name, sizeof(c.name), name)
    try:
        c.mtu = mtu
        c.addr = to_addr_or_any(addr)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"iface {name}: {error}") from error
    return c


cdef inline int to_proxy(core.proxy_config *c, dict words, object row) except -1:
    c.detector = lookup(words["detector"], row.detector, "detectLocalMode")
    c.masquerade_all = row.masquerade_all
    c.localhost_node_ports = row.localhost_node_ports
    c.refused_at = lookup(words["refused_at"], row.refused_at, "refused_at")
    c.scheduler = lookup(words["scheduler"], row.scheduler, "ipvsScheduler")
    c.by_entry = row.by_entry
    c.bound = row.bound
    c.own_first = row.own_first
    c.drain_s = row.drain_s
    c.refuses_own = row.refuses_own
    c.ranges_first = row.ranges_first
    c.drops_rest = row.drops_rest
    c.relays = row.relays
    c.affinity.clients = row.affinity_clients
    c.affinity.evicts = row.affinity_evicts
    if len(row.node_port_ranges) > 16:
        raise ValueError(f"{len(row.node_port_ranges)} ranges of node port addresses")
    c.range_count = len(row.node_port_ranges)
    for i, (prefix, length) in enumerate(row.node_port_ranges):
        to_range(&c.node_port_ranges[<int>i], prefix, length)
    return 0


cdef inline int to_node(core.node_config *c, dict backends, dict proxy_words,
                        object row) except -1:
    cdef core.source_range pods
    memset(c, 0, sizeof(c[0]))
    to_name(c.name, sizeof(c.name), row.name)
    c.number = to_node_number(row.name)
    c.uid = row.uid
    c.address = to_addr(row.address)
    c.cni_addr = to_addr(row.cni_addr)
    c.stack_addr = to_addr(row.pod_cidr + (1 << (32 - row.pod_len)) - 2)
    c.tunnel_addr = to_addr(row.tunnel_addr)
    c.cluster_cidr = to_addr(row.cluster_cidr)
    c.cluster_len = to_length(row.cluster_cidr, row.cluster_len)
    c.backend = lookup(backends, row.backend, "backend")
    to_mac(c.vtep_mac, row.vtep_mac)
    c.vni = row.vni
    c.port = core.to_be16(row.port)
    c.mtu = row.mtu
    c.flows_max = row.flows_max
    to_range(&pods, row.pod_cidr, row.pod_len)
    c.pod_cidr, c.pod_mask = pods.prefix, pods.mask
    to_proxy(&c.proxy, proxy_words, row.proxy)
    c.tracking.invalid_passes = row.tracking.invalid_passes
    c.tracking.collisions_lose = row.tracking.collisions_lose
    c.tracking.udp_races = row.tracking.udp_races
    return 0


cdef inline int to_route(core.route_row *out, dict kinds, object row) except -1:
    memset(out, 0, sizeof(out[0]))
    out.prefix = to_addr(row.prefix)
    out.len = to_length(row.prefix, row.length)
    out.kind = lookup(kinds, row.kind, "kind")
    out.index = row.target
    return 0


cdef inline int to_peer(core.peer_row *out, object row) except -1:
    memset(out, 0, sizeof(out[0]))
    out.address = to_addr(row.address)
    out.port = core.to_be16(row.port)
    to_mac(out.mac, row.mac)
    out.node = core.PEER_EXTERNAL if row.node is None else row.node
    return 0


cdef inline int to_filter(core.trace_filter *out, object match) except -1:
    """None matches nothing."""
    memset(out, 0, sizeof(out[0]))
    if match is None:
        return 0
    out.src = to_addr_or_any(match.src)
    out.dst = to_addr_or_any(match.dst)
    out.sport = core.to_be16(match.sport)
    out.dport = core.to_be16(match.dport)
    out.proto = match.proto
    out.limit = match.limit
    out.on = True
    return 0


cdef inline int to_inject(core.inject *out, object meta) except -1:
    memset(out, 0, sizeof(out[0]))
    out.gso_type = meta.gso_type
    out.needs_csum = meta.needs_csum
    out.mark = meta.mark
    out.gso_size = meta.gso_size
    out.csum_start = meta.csum_start
    out.csum_offset = meta.csum_offset
    out.hdr_len = meta.hdr_len
    out.outer_src = core.to_be32(meta.outer_src)
    out.outer_dst = core.to_be32(meta.outer_dst)
    out.outer_sport = core.to_be16(meta.outer_sport)
    out.outer_dport = core.to_be16(meta.outer_dport)
    return 0


cdef inline object from_inject(object records, const core.inject *how):
    return records.Meta(
        how.gso_type, how.needs_csum != 0, how.mark != 0, how.gso_size, how.csum_start,
        how.csum_offset, how.hdr_len, core.from_be32(how.outer_src), core.from_be32(how.outer_dst),
        core.from_be16(how.outer_sport), core.from_be16(how.outer_dport),
    )


cdef inline object from_key(object records, const core.flow_key *k):
    return records.FlowKey(
        from_addr(k.src), from_addr(k.dst), core.from_be16(k.sport), core.from_be16(k.dport),
        k.proto,
    )


cdef inline int to_key(core.flow_key *out, object key) except -1:
    memset(out, 0, sizeof(out[0]))
    out.src = to_addr_or_any(key.src)
    out.dst = to_addr_or_any(key.dst)
    out.sport = core.to_be16(key.sport)
    out.dport = core.to_be16(key.dport)
    out.proto = key.proto
    return 0


cdef inline int to_flow_filter(core.flow_filter *out, object match) except -1:
    """None matches everything."""
    memset(out, 0, sizeof(out[0]))
    out.state = core.FLOW_STATE_COUNT
    if match is None:
        return 0
    to_key(&out.original, match.original)
    to_key(&out.reply, match.reply)
    if not match.state:
        return 0
    for state in range(core.FLOW_STATE_COUNT):
        if core.flow_state_name(0, <core.flow_state>state) == match.state.encode():
            out.state = state
            return 0
    raise ValueError(f"no flow is ever in the state {match.state}")


cdef inline object from_flow(object records, const core.flow *f):
    return records.FlowRecord(
        from_key(records, &f.original),
        from_key(records, &f.reply),
        core.flow_state_name(f.original.proto, <core.flow_state>f.state).decode(),
        (f.flags & core.FLOW_TRANSLATED) != 0,
        (f.flags & core.FLOW_MASQUERADED) != 0,
        (f.flags & core.FLOW_SEEN_REPLY) != 0,
        (f.flags & core.FLOW_ASSURED) != 0,
        f.service if f.flags & core.FLOW_TRANSLATED else 0,
        f.expires_ns,
    )


cdef inline object from_trace(object records, const core.trace_record *r):
    return records.TraceRecord(
        r.time_ns, r.revision, r.trace_id, r.node, r.iface,
        core.trace_stage_name(<core.trace_stage>r.stage).decode(),
        core.trace_event_name(<core.trace_event>r.event).decode(),
        r.object, r.detail, r.len, from_key(records, &r.before), from_key(records, &r.after),
    )


cdef inline object from_node_stats(object records, const core.node_stats *s):
    drops = {
        core.drop_reason_name(<core.drop_reason>i).decode(): s.drops[i]
        for i in range(core.DROP_REASON_COUNT)
        if i != core.DROP_NONE
    }
    return records.NodeStats(
        drops, s.packets, s.flows, s.flows_new, s.flows_expired, s.flows_stale, s.service_hits,
        s.service_rejects, s.affinity_hits, s.affinity_evicted, s.masquerade_collisions,
        s.localhost_node_ports, s.icmp_errors_sent, s.icmp_errors_translated,
    )


cdef inline object from_iface_stats(object records, const core.iface_stats *s):
    return records.IfaceStats(
        s.rx_packets, s.rx_bytes, s.tx_packets, s.tx_bytes, s.rx_segments, s.tx_segments, s.tx_drops
    )


cdef inline object from_info(object records, object methods, const core.engine_info *i):
    return records.EngineInfo(
        i.tables_bytes, i.flows_bytes, i.retired_waiting, i.services, i.workers,
        methods[i.io], -i.io_error
    )
