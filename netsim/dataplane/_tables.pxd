"""Mirror of the headers of csrc's tables, and conversions: for _tables.pyx, so for tests, only."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset


cdef extern from "stdbool.h" nogil:
    ctypedef unsigned char boolean "bool"

cdef extern from "base.h" nogil:
    uint16_t to_be16(uint16_t v)
    uint32_t to_be32(uint32_t v)
    uint16_t from_be16(uint16_t v)
    uint32_t from_be32(uint32_t v)
    struct addr:
        uint64_t w[2]
    addr addr_from_v4(uint32_t v4)
    uint32_t addr_to_v4(addr a)
    bint addr_is_v4(addr a)
    struct flow_key:
        addr src
        addr dst
        uint16_t sport
        uint16_t dport
        uint8_t proto
    uint32_t flow_key_hash(const flow_key *k, uint64_t seed)

cdef extern from "checksum.h" nogil:
    uint64_t checksum_partial(const void *data, size_t len, uint64_t sum)
    uint64_t checksum_partial_copy(void *dst, const void *src, size_t len, uint64_t sum)
    uint16_t checksum_finish(uint64_t sum)
    uint16_t checksum_update16(uint16_t check, uint16_t was, uint16_t to)
    uint16_t checksum_update32(uint16_t check, uint32_t was, uint32_t to)
    uint32_t c_crc32c "crc32c"(const void *data, size_t len, uint32_t crc)

cdef extern from "route_table.h" nogil:
    enum:
        ROUTE_KIND_COUNT
    struct route_row:
        addr prefix
        uint8_t len
        uint8_t kind
        uint32_t index
    struct route_table:
        pass
    int route_table_new(route_table **out, const route_row *rows, size_t count)
    void route_table_free(route_table *t)
    const route_row *route_table_find(const route_table *t, addr dst)
    size_t route_table_count(const route_table *t)
    struct peer_row:
        addr address
        uint8_t mac[6]
        uint16_t port
        uint32_t node
    struct peer_table:
        pass
    int peer_table_new(peer_table **out, const peer_row *rows, size_t count)
    void peer_table_free(peer_table *t)
    const peer_row *peer_table_row(const peer_table *t, uint32_t index)
    const peer_row *peer_table_find(const peer_table *t, addr address)

cdef extern from "affinity_table.h" nogil:
    struct affinity:
        uint64_t renewed_ns
        uint32_t endpoint_slot
        uint32_t endpoint_generation
    struct affinity_table:
        pass
    struct affinity_limit:
        uint32_t clients
        bint evicts
    struct affinity_key:
        addr client
        uint32_t service
        uint32_t slot
        uint32_t generation
    int affinity_table_new(affinity_table **out, size_t max, const affinity_limit *limit,
                           uint64_t seed)
    void affinity_table_free(affinity_table *t)
    unsigned affinity_find(const affinity_table *t, uint32_t service, addr client,
                           uint64_t now_ns, uint32_t timeout_s, const affinity **found)
    bint affinity_set(affinity_table *t, const affinity_key *key, uint64_t now_ns,
                      uint32_t timeout_s)
    size_t affinity_table_count(const affinity_table *t)

cdef extern from "fragment_table.h" nogil:
    struct fragment_key:
        addr src
        addr dst
        uint16_t id
        uint8_t proto
    struct fragment_table:
        pass
    int fragment_table_new(fragment_table **out, size_t max, uint64_t seed)
    void fragment_table_free(fragment_table *t)
    void fragment_remember(fragment_table *t, const fragment_key *k, uint16_t sport,
                           uint16_t dport, uint64_t now_ns)
    bint fragment_find(const fragment_table *t, const fragment_key *k, uint64_t now_ns,
                       uint16_t *sport, uint16_t *dport)

cdef extern from "flow_arena.h" nogil:
    struct flow_arena:
        pass
    int flow_arena_open(flow_arena **out, int fd, size_t max_bytes)
    void flow_arena_close(flow_arena *a)
    void *flow_arena_chunk_new(flow_arena *a, uint64_t owner)
    void *flow_arena_chunk_next(flow_arena *a, uint64_t owner, const void *after)
    void flow_arena_release(flow_arena *a, uint64_t owner)

cdef extern from "flow_table.h" nogil:
    enum flow_state:
        FLOW_STATE_COUNT
    enum:
        FLOW_SEEN_REPLY
        FLOW_ASSURED
    struct flow:
        flow_key original
        flow_key reply
        uint64_t expires_ns
        uint32_t service
        uint32_t endpoint_slot
        uint8_t state
        uint8_t flags
    struct flow_table:
        pass
    int flow_table_new(flow_table **out, flow_arena *a, uint64_t owner, size_t max, uint64_t seed)
    void flow_table_free(flow_table *t)
    size_t flow_table_adopt(flow_table *t, uint64_t now_ns)
    flow *flow_table_find(flow_table *t, const flow_key *key, uint32_t hash, uint64_t now_ns,
                          boolean *reply)
    struct flow_guess:
        flow *flow
        boolean reply
    flow_guess flow_table_guess(const flow_table *t, uint32_t hash)
    bint flow_table_confirm(const flow *f, bint reply, const flow_key *key, uint64_t now_ns)
    struct flow_pair:
        pass
    flow_pair flow_pair_of "flow_pair"(const flow_table *t, const flow_key *original,
                                       const flow_key *reply)
    int flow_table_insert(flow_table *t, const flow_pair *pair, flow_state state, uint64_t now_ns,
                          flow **out)
    void flow_table_remove(flow_table *t, flow *f)
    size_t flow_table_expire(flow_table *t, uint64_t now_ns, size_t budget)
    void flow_table_walk(flow_table *t, uint64_t now_ns,
                         boolean (*visit)(flow *, void *) noexcept nogil, void *context)
    size_t flow_table_count(const flow_table *t)
    size_t flow_table_bytes(const flow_table *t)
    bint flow_first_state(uint8_t proto, uint8_t tcp_flags, flow_state *state)
    bint flow_advance(flow *f, bint reply, uint8_t tcp_flags, uint64_t now_ns)
    bint flow_reopens(const flow *f, bint reply, uint8_t tcp_flags)
    uint32_t flow_timeout_s(uint8_t proto, flow_state state, uint8_t flags)
    const char *flow_state_name(uint8_t proto, flow_state state)


cdef inline addr to_addr(object value) except *:
    cdef addr a
    if 0 <= value <= 0xffffffff:
        return addr_from_v4(to_be32(value))
    wide = value.to_bytes(16, "big")
    memcpy(&a, <const char *>wide, sizeof(a))
    return a


cdef inline object from_addr(addr a):
    if addr_is_v4(a):
        return from_be32(addr_to_v4(a))
    return int.from_bytes((<const char *>&a)[:sizeof(a)], "big")


cdef inline flow_key to_key(object key) except *:
    cdef flow_key k
    memset(&k, 0, sizeof(k))
    src, dst, sport, dport, k.proto = key
    k.src = to_addr(src)
    k.dst = to_addr(dst)
    k.sport = to_be16(sport)
    k.dport = to_be16(dport)
    return k


cdef inline flow_pair make_pair(const flow_table *t, flow_key original,
                                flow_key reply) noexcept nogil:
    return flow_pair_of(t, &original, &reply)


cdef inline object from_key(const flow_key *k):
    return (from_addr(k.src), from_addr(k.dst), from_be16(k.sport), from_be16(k.dport), k.proto)


cdef inline set found_affinity(const affinity_table *t, uint32_t service, addr client,
                               uint64_t now_ns, uint32_t timeout_s):
    cdef const affinity *found[16]
    cdef unsigned count = affinity_find(t, service, client, now_ns, timeout_s, found)
    return {(found[i].endpoint_slot, found[i].endpoint_generation) for i in range(count)}


cdef inline int new_affinity(affinity_table **out, size_t max, uint64_t seed, uint32_t clients,
                             bint evicts):
    cdef affinity_limit limit
    limit.clients, limit.evicts = clients, evicts
    return affinity_table_new(out, max, &limit, seed)


cdef inline affinity_key to_affinity(service, client, slot, generation) except *:
    cdef affinity_key key
    key.client, key.service, key.slot, key.generation = to_addr(client), service, slot, generation
    return key


cdef inline object from_peer(const peer_row *r):
    return None if r is NULL else (from_addr(r.address), from_be16(r.port), r.node)


cdef inline fragment_key to_fragment(object key) except *:
    cdef fragment_key k
    memset(&k, 0, sizeof(k))
    src, dst, ident, k.proto = key
    k.src = to_addr(src)
    k.dst = to_addr(dst)
    k.id = to_be16(ident)
    return k


cdef inline object describe(const flow *f):
    state = flow_state_name(f.original.proto, <flow_state>f.state).decode()
    return (from_key(&f.original), from_key(&f.reply), state,
            (f.flags & FLOW_SEEN_REPLY) != 0, (f.flags & FLOW_ASSURED) != 0, f.expires_ns)


cdef inline boolean visit_describe(flow *f, void *context) noexcept with gil:
    (<list>context).append(describe(f))
    return 1


cdef inline route_row to_route(object row) except *:
    cdef route_row r
    memset(&r, 0, sizeof(r))
    prefix, length, r.kind, r.index = row
    r.prefix = to_addr(prefix)
    r.len = length + 96 if prefix <= 0xffffffff else length
    return r


cdef inline peer_row to_peer(object row) except *:
    cdef peer_row p
    memset(&p, 0, sizeof(p))
    address, port, p.node = row
    p.address = to_addr(address)
    p.port = to_be16(port)
    return p


cdef inline flow_key numbered(uint32_t n, bint reply) noexcept nogil:
    """A flow made of a number: both keys can be told from either."""
    cdef flow_key k
    memset(&k, 0, sizeof(k))
    k.src = addr_from_v4(n * <uint32_t>2654435761 if not reply else ~n)
    k.dst = addr_from_v4(n if not reply else n * <uint32_t>2246822519)
    k.sport = <uint16_t>n
    k.dport = <uint16_t>(n >> 16)
    k.proto = 17
    return k


cdef inline object found_ports(const fragment_table *t, const fragment_key *k, uint64_t now_ns):
    """(sport, dport) or None."""
    cdef uint16_t sport, dport
    if not fragment_find(t, k, now_ns, &sport, &dport):
        return None
    return from_be16(sport), from_be16(dport)


cdef inline int new_peers(peer_table **out, object rows) except? -1:
    """Negative errno."""
    cdef peer_row *c = <peer_row *>malloc((len(rows) + 1) * sizeof(peer_row))
    try:
        for i, row in enumerate(rows):
            c[i] = to_peer(row)
        return peer_table_new(out, c, len(rows))
    finally:
        free(c)
