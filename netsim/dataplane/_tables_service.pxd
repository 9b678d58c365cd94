"""The part of _tables.pxd that is about services."""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from netsim.dataplane cimport core, services
from netsim.dataplane._tables cimport addr, from_addr, from_be16, to_addr, to_be16


cdef extern from "service_table.h" nogil:
    struct retired:
        pass
    void retired_free(retired *r)
    struct service_key:
        addr addr
        uint16_t port
        uint8_t proto
    struct endpoint:
        addr addr
        uint16_t port
        uint32_t slot
        uint32_t generation
    enum:
        FRONTEND_OWN
        FRONTEND_EXTERNAL
    struct endpoint_set:
        uint32_t first
        uint32_t count
    struct set_choice:
        uint32_t count
    struct service:
        uint32_t id
        uint32_t affinity_s
        uint64_t revision
        bint served
        uint32_t count
        set_choice cluster
        set_choice local
        endpoint endpoints[1]
    struct frontend:
        uint32_t flags
        const service *service
    struct endpoint_spec:
        addr addr
        uint16_t port
    struct frontend_spec:
        service_key key
        uint32_t flags
    struct set_spec:
        pass
    struct node_spec:
        uint64_t node
        uint32_t set
    struct choice_spec:
        uint32_t otherwise
        uint32_t count
        const node_spec *nodes
    struct service_spec:
        service_key key
        uint32_t id
        uint32_t affinity_s
        uint64_t revision
        uint32_t count
        uint32_t set_count
        uint32_t frontend_count
        const endpoint_spec *endpoints
        const set_spec *sets
        const frontend_spec *frontends
        choice_spec cluster
        choice_spec local
    struct service_table:
        pass
    int service_table_new(service_table **out, uint64_t seed)
    void service_table_free(service_table *t)
    int service_table_set(service_table *t, const service_spec *spec, retired **r)
    int service_table_remove(service_table *t, const service_key *key, retired **r)
    void service_table_begin(service_table *t)
    void service_table_commit(service_table *t, retired **r)
    uint64_t service_table_hash(const service_table *t, const service_key *k)
    bint service_table_has_address(const service_table *t, addr address, uint32_t flags)
    const frontend *service_table_find(const service_table *t, const service_key *k, uint64_t hash)
    endpoint_set service_set_of(const service *s, const set_choice *c, uint64_t node)
    const endpoint *service_set_endpoint(const service *s, endpoint_set set, uint32_t at)
    const endpoint *service_pick(const service *s, endpoint_set set, uint32_t random)
    uint32_t service_table_udp_generation(const service_table *t)
    const endpoint *service_endpoint_find(const service *s, addr a, uint16_t port)
    bint service_table_slot_alive(const service_table *t, uint32_t slot, uint32_t generation)
    size_t service_table_count(const service_table *t)
    size_t service_table_bytes(const service_table *t)


cdef inline service_key to_service(object key) except *:
    cdef service_key k
    memset(&k, 0, sizeof(k))
    address, port, k.proto = key
    k.addr = to_addr(address)
    k.port = to_be16(port)
    return k


cdef inline const service *find_service(const service_table *t, service_key k) except? NULL:
    cdef const frontend *f = service_table_find(t, &k, service_table_hash(t, &k))
    return NULL if f is NULL else f.service


cdef inline bint has_address(const service_table *t, addr address, bint own):
    cdef uint32_t flags = FRONTEND_OWN if own else FRONTEND_OWN | FRONTEND_EXTERNAL
    return service_table_has_address(t, address, flags)


cdef inline object from_service(const service *s):
    if s is NULL:
        return None
    return s.id, s.affinity_s, s.revision, [
        (from_addr(s.endpoints[i].addr), from_be16(s.endpoints[i].port), s.endpoints[i].slot,
         s.endpoints[i].generation)
        for i in range(s.count)
    ]


cdef inline endpoint_spec to_endpoint(object row) except *:
    cdef endpoint_spec e
    address, port = row
    e.addr = to_addr(address)
    e.port = to_be16(port)
    return e


cdef inline bytearray to_choice(choice_spec *c, object row):
    """(number of a set, {node: number of a set})"""
    c.otherwise, nodes = row
    made = bytearray(len(nodes) * sizeof(node_spec))
    cdef node_spec *out = <node_spec *>PyByteArray_AS_STRING(made)
    c.count = len(nodes)
    c.nodes = out
    for node, number in nodes.items():
        out.node = node
        out.set = number
        out += 1
    return made


cdef inline list to_keys(service_spec *spec, object rows):
    keys = bytearray(len(rows) * sizeof(frontend_spec))
    cdef frontend_spec *out = <frontend_spec *>PyByteArray_AS_STRING(keys)
    spec.frontends = out
    spec.frontend_count = len(rows)
    for row in rows:
        out.key = to_service(row)
        out.flags = FRONTEND_EXTERNAL
        out += 1
    return [keys]


cdef inline list to_targets(service_spec *spec, object rows):
    made = bytearray(len(rows) * sizeof(endpoint_spec))
    cdef endpoint_spec *out = <endpoint_spec *>PyByteArray_AS_STRING(made)
    spec.endpoints = out
    spec.count = len(rows)
    for row in rows:
        out[0] = to_endpoint(row)
        out += 1
    return [made]


cdef inline list to_spec(service_spec *spec, row, endpoints, more, sets, cluster, local):
    """`row`: key, id, affinity_s, revision. What the spec points into is returned."""
    memset(spec, 0, sizeof(spec[0]))
    kept = to_targets(spec, endpoints) + to_keys(spec, more)
    kept += services.to_sets(<core.service_spec *>spec, sets)
    kept += [to_choice(&spec.cluster, cluster), to_choice(&spec.local, local)]
    key, spec.id, spec.affinity_s, spec.revision = row
    spec.key = to_service(key)
    return kept


cdef inline list usable(const service *s, uint64_t node, bint local):
    cdef endpoint_set found = service_set_of(s, &s.local if local else &s.cluster, node)
    return [service_set_endpoint(s, found, i) - &s.endpoints[0] for i in range(found.count)]


cdef inline list picked(const service *s, uint64_t node, randoms):
    cdef endpoint_set found = service_set_of(s, &s.cluster, node)
    return [service_pick(s, found, r) - &s.endpoints[0] for r in randoms]


cdef inline object position(const service *s, address, port):
    cdef const endpoint *e = service_endpoint_find(s, to_addr(address), to_be16(port))
    return None if e is NULL else e - &s.endpoints[0]
