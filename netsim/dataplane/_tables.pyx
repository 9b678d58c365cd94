"""The tables of csrc one by one, for tests: nothing else imports this, wheels do not have it.

Conversions only. Addresses are integers (IPv4 below 2**32), ports host order, keys of flows tuples
(src, dst, sport, dport, proto), times nanoseconds. Negative errno becomes OSError.
"""

import os

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from netsim.dataplane._tables_service cimport *


cdef int64_t check(int64_t rc) except -1:
    if rc < 0:
        raise OSError(-rc, os.strerror(-rc))
    return rc


def checksum(bytes data, *pieces):
    """The 16-bit field, host order, over `data` cut at the even offsets `pieces`."""
    cdef uint64_t total = 0
    at = 0
    for end in (*pieces, len(data)):
        total = checksum_partial(<const char *>data + <size_t>at, end - at, total)
        at = end
    return from_be16(checksum_finish(total))


def checksum_copy(bytes data, size_t offset):
    """What then lies at `offset` of a zeroed buffer and one byte beyond, and the field."""
    out = bytearray(offset + len(data) + 1)
    cdef char *to = <char *>out + offset
    cdef uint64_t total = checksum_partial_copy(to, <const char *>data, len(data), 0)
    return bytes(out[offset:]), from_be16(checksum_finish(total))


def update16(uint16_t field, uint16_t was, uint16_t to):
    """RFC 1624, host order."""
    return from_be16(checksum_update16(to_be16(field), to_be16(was), to_be16(to)))


def update32(uint16_t field, uint32_t was, uint32_t to):
    """RFC 1624, host order."""
    return from_be16(checksum_update32(to_be16(field), to_be32(was), to_be32(to)))


def crc32c(bytes data, uint32_t crc=0):
    """CRC32c, going on from `crc`."""
    return c_crc32c(<const char *>data, len(data), crc)


def first_state(uint8_t proto, uint8_t tcp_flags):
    """Name of a first packet's state, None where it can not begin a connection."""
    cdef flow_state state
    return states()[state] if flow_first_state(proto, tcp_flags, &state) else None


def states():
    """Every state's name, by number."""
    return [flow_state_name(6, <flow_state>i).decode() for i in range(FLOW_STATE_COUNT)]


cdef flow_state to_state(str name) except *:
    cdef int number = states().index(name)
    return <flow_state>number


def timeout_s(uint8_t proto, str state, bint replied):
    """Seconds that a silent flow is kept."""
    return flow_timeout_s(proto, to_state(state), FLOW_SEEN_REPLY if replied else 0)


cdef class ServiceTable:
    """Owns a table and what it has retired."""

    cdef service_table *table
    cdef retired *gone

    def __cinit__(self, uint64_t seed):
        check(service_table_new(&self.table, seed))

    def __dealloc__(self):
        retired_free(self.gone)
        service_table_free(self.table)

    def set(self, key, uint32_t id, endpoints, uint32_t affinity_s=0, uint64_t revision=0, *,
            more=(), sets=(), cluster=(0, {}), local=(0, {})):
        """Add or replace; endpoints are (address, port), `more` keys, sets lists of positions."""
        cdef service_spec s
        kept = to_spec(&s, (key, id, affinity_s, revision), endpoints, more, sets, cluster, local)
        check(service_table_set(self.table, &s, &self.gone))
        del kept

    def remove(self, key):
        """Remove a service."""
        cdef service_key k = to_service(key)
        check(service_table_remove(self.table, &k, &self.gone))

    def begin(self):
        """What is changed from now on shows with commit()."""
        service_table_begin(self.table)

    def commit(self):
        """What was changed shows."""
        service_table_commit(self.table, &self.gone)

    def reap(self):
        """Free what was retired: no reader is left."""
        retired_free(self.gone)
        self.gone = NULL

    cdef const service *_find(self, key) except? NULL:
        return find_service(self.table, to_service(key))

    def find(self, key):
        """(id, affinity_s, revision, [(address, port, slot, generation)]) or None."""
        return from_service(self._find(key))

    def has_address(self, address, own):
        """Whether there is a service at an address; `own`: that has it for its cluster IP."""
        return has_address(self.table, to_addr(address), own)

    def usable(self, key, uint64_t node=0, local=False):
        """Positions of the endpoints that a node has, in order."""
        return usable(self._find(key), node, local)

    def served(self, key):
        """Whether anybody has an endpoint."""
        return self._find(key).served

    def udp_generation(self):
        """Another one when UDP has a new key."""
        return service_table_udp_generation(self.table)

    def pick(self, key, randoms, uint64_t node=0):
        """Positions of the endpoints chosen by each 32-bit number."""
        return picked(self._find(key), node, randoms)

    def endpoint(self, key, address, port):
        """Position of an endpoint, None if it is not there."""
        return position(self._find(key), address, port)

    def alive(self, uint32_t slot, uint32_t generation):
        """Whether the endpoint is still in its service."""
        return service_table_slot_alive(self.table, slot, generation)

    def __len__(self):
        return service_table_count(self.table)

    def bytes(self):
        """Memory held."""
        return service_table_bytes(self.table)


cdef class RouteTable:
    """Owns a table; rows are (prefix, length of its family, kind, index)."""

    cdef route_table *table

    def __cinit__(self, rows):
        cdef route_row *c = <route_row *>malloc((len(rows) + 1) * sizeof(route_row))
        try:
            for i, row in enumerate(rows):
                c[i] = to_route(row)
            check(route_table_new(&self.table, c, len(rows)))
        finally:
            free(c)

    def __dealloc__(self):
        route_table_free(self.table)

    def find(self, dst):
        """(kind, index), or None."""
        cdef const route_row *r = route_table_find(self.table, to_addr(dst))
        return None if r is NULL else (r.kind, r.index)

    def __len__(self):
        return route_table_count(self.table)


cdef class PeerTable:
    """Owns a table; rows are (address, port, node)."""

    cdef peer_table *table

    def __cinit__(self, rows):
        check(new_peers(&self.table, rows))

    def __dealloc__(self):
        peer_table_free(self.table)

    def row(self, uint32_t index):
        """The row at a position."""
        return from_peer(peer_table_row(self.table, index))

    def find(self, address):
        """The row of an address."""
        return from_peer(peer_table_find(self.table, to_addr(address)))


cdef class AffinityTable:
    """Owns a table."""

    cdef affinity_table *table

    def __cinit__(self, size_t max, uint64_t seed, uint32_t clients=0, bint evicts=True):
        check(new_affinity(&self.table, max, seed, clients, evicts))

    def __dealloc__(self):
        affinity_table_free(self.table)

    def find(self, uint32_t service, client, uint64_t now_ns, uint32_t timeout_s):
        """The set of (slot, generation) of the client's endpoints."""
        return found_affinity(self.table, service, to_addr(client), now_ns, timeout_s)

    def set(self, service, client, slot, generation, uint64_t now_ns, uint32_t timeout_s=10800):
        """Remember; whether somebody is not, for lack of room."""
        cdef affinity_key key = to_affinity(service, client, slot, generation)
        return affinity_set(self.table, &key, now_ns, timeout_s)

    def __len__(self):
        return affinity_table_count(self.table)


cdef class FragmentTable:
    """Owns a table; keys are (src, dst, id, proto)."""

    cdef fragment_table *table

    def __cinit__(self, size_t max, uint64_t seed):
        check(fragment_table_new(&self.table, max, seed))

    def __dealloc__(self):
        fragment_table_free(self.table)

    def remember(self, key, uint16_t sport, uint16_t dport, uint64_t now_ns):
        """First fragment seen."""
        cdef fragment_key k = to_fragment(key)
        fragment_remember(self.table, &k, to_be16(sport), to_be16(dport), now_ns)

    def find(self, key, uint64_t now_ns):
        """(sport, dport) or None."""
        cdef fragment_key k = to_fragment(key)
        return found_ports(self.table, &k, now_ns)


cdef class Arena:
    """Owns a mapping of `fd`, or anonymous memory for -1."""

    cdef flow_arena *arena

    def __cinit__(self, int fd, size_t max_bytes):
        check(flow_arena_open(&self.arena, fd, max_bytes))

    def __dealloc__(self):
        flow_arena_close(self.arena)

    def chunk_new(self, uint64_t owner):
        """Whether a chunk could be had, and whether it was all zero."""
        cdef const uint64_t *p = <const uint64_t *>flow_arena_chunk_new(self.arena, owner)
        if p is NULL:
            return None
        zero = not any(p[i] for i in range((65536 - 64) // 8))
        memset(<void *>p, 0xff, 65536 - 64)
        return zero

    def chunks(self, uint64_t owner):
        """How many chunks an owner has."""
        cdef const void *p = flow_arena_chunk_next(self.arena, owner, NULL)
        n = 0
        while p is not NULL:
            n += 1
            p = flow_arena_chunk_next(self.arena, owner, p)
        return n

    def release(self, uint64_t owner):
        """Take an owner's chunks."""
        flow_arena_release(self.arena, owner)


cdef class FlowTable:
    """Owns a table of `arena`. Flows come out as (original, reply, state, replied, assured,
    expires_ns).
    """

    cdef flow_table *table
    cdef Arena arena
    cdef uint64_t seed

    def __cinit__(self, Arena arena, uint64_t owner, size_t max, uint64_t seed):
        self.arena = arena
        self.seed = seed
        check(flow_table_new(&self.table, arena.arena, owner, max, seed))

    def __dealloc__(self):
        flow_table_free(self.table)

    cdef flow *_find(self, const flow_key *k, uint64_t now_ns, boolean *reply) noexcept:
        cdef uint32_t h = flow_key_hash(k, self.seed)
        cdef flow_guess g = flow_table_guess(self.table, h)
        if g.flow and flow_table_confirm(g.flow, g.reply, k, now_ns):
            reply[0] = g.reply
            return g.flow
        return flow_table_find(self.table, k, h, now_ns, reply)

    def adopt(self, uint64_t now_ns):
        """Number of flows taken over."""
        return flow_table_adopt(self.table, now_ns)

    def find(self, key, uint64_t now_ns):
        """(flow, whether the key is its reply direction) or None."""
        cdef flow_key k = to_key(key)
        cdef boolean reply = 0
        cdef flow *f = self._find(&k, now_ns, &reply)
        return None if f is NULL else (describe(f), bool(reply))

    def insert(self, original, reply, str state, uint64_t now_ns):
        """Remember a flow."""
        cdef flow_pair pair = make_pair(self.table, to_key(original), to_key(reply))
        cdef flow *f
        check(flow_table_insert(self.table, &pair, to_state(state), now_ns, &f))

    def remove(self, key, uint64_t now_ns):
        """Forget the live flow with a key."""
        cdef flow_key k = to_key(key)
        cdef boolean reply = 0
        cdef flow *f = self._find(&k, now_ns, &reply)
        if f is NULL:
            raise KeyError(key)
        flow_table_remove(self.table, f)

    def advance(self, key, uint8_t tcp_flags, uint64_t now_ns):
        """"reopens", "invalid" or the name of the state afterwards."""
        cdef flow_key k = to_key(key)
        cdef boolean reply = 0
        cdef flow *f = self._find(&k, now_ns, &reply)
        if f is NULL:
            raise KeyError(key)
        if flow_reopens(f, reply, tcp_flags):
            return "reopens"
        return states()[f.state] if flow_advance(f, reply, tcp_flags, now_ns) else "invalid"

    def expire(self, uint64_t now_ns, size_t budget):
        """Number of flows forgotten."""
        return flow_table_expire(self.table, now_ns, budget)

    def walk(self, uint64_t now_ns):
        """Every live flow."""
        found = []
        flow_table_walk(self.table, now_ns, visit_describe, <void *>found)
        return found

    def insert_numbered(self, uint32_t first, uint32_t last, uint64_t now_ns):
        """Flows made of numbers, quickly; returns how many were inserted."""
        cdef flow_pair pair
        cdef flow *f
        cdef uint32_t done = 0
        with nogil:
            for n in range(first, last):
                pair = make_pair(self.table, numbered(n, False), numbered(n, True))
                done += flow_table_insert(self.table, &pair, <flow_state>0, now_ns, &f) == 0
        return done

    def remove_numbered(self, uint32_t first, uint32_t last, uint32_t step, uint64_t now_ns):
        """Remove every `step`th; returns how many were there."""
        cdef flow_key k
        cdef flow *f
        cdef boolean reply = 0
        cdef uint32_t done = 0
        for n in range(first, last, step):
            k = numbered(n, n & 1)
            f = self._find(&k, now_ns, &reply)
            if f is not NULL:
                flow_table_remove(self.table, f)
                done += 1
        return done

    def has_numbered(self, uint32_t n, uint64_t now_ns):
        """Whether both directions find the flow made of a number."""
        cdef flow_key o = numbered(n, False), r = numbered(n, True)
        cdef boolean od = 1, rd = 0
        cdef flow *f = self._find(&o, now_ns, &od)
        return f is not NULL and f == self._find(&r, now_ns, &rd) and not od and rd

    def __len__(self):
        return flow_table_count(self.table)

    def bytes(self):
        """Memory held."""
        return flow_table_bytes(self.table)


def numbered_reply(original):
    n = original[2] | original[3] << 16
    cdef flow_key k = numbered(((n >> 8) & 0xff00ff) | ((n & 0xff00ff) << 8), True)
    return from_key(&k)
