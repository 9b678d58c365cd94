"""ServiceRow into C's service_spec. What the spec points into is returned, to be kept as long."""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from netsim.dataplane cimport convert, core


cdef enum:
    ENDPOINT_BYTES = 18  # packed: address and port, already in network order


cdef inline bytearray to_endpoints(core.service_spec *spec, bytes packed):
    if len(packed) % ENDPOINT_BYTES:
        raise ValueError(f"{len(packed)} bytes of endpoints")
    cdef size_t count = len(packed) // ENDPOINT_BYTES
    cdef const char *at = packed
    made = bytearray(count * sizeof(core.endpoint_spec))
    cdef core.endpoint_spec *out = <core.endpoint_spec *>PyByteArray_AS_STRING(made)
    spec.endpoints = out
    spec.count = count
    for _ in range(count):
        memcpy(&out.addr, at, sizeof(out.addr))
        memcpy(&out.port, at + sizeof(out.addr), sizeof(out.port))
        at += ENDPOINT_BYTES
        out += 1
    return made


cdef inline list to_sets(core.service_spec *spec, object rows):
    """Positions of all sets in a row, and where each begins."""
    sets = bytearray(len(rows) * sizeof(core.set_spec))
    places = bytearray(sum([len(row) for row in rows]) * sizeof(uint32_t))
    cdef core.set_spec *out = <core.set_spec *>PyByteArray_AS_STRING(sets)
    cdef uint32_t *place = <uint32_t *>PyByteArray_AS_STRING(places)
    spec.sets = out
    spec.set_count = len(rows)
    for row in rows:
        out.positions = place
        out.count = len(row)
        out += 1
        for position in row:
            place[0] = position
            place += 1
    return [sets, places]


cdef inline bytearray to_nodes(core.choice_spec *c, tuple nodes, dict numbers):
    """`numbers` are kept: of names that have occurred."""
    named = []
    for name, number in nodes:
        if name not in numbers:
            numbers[name] = convert.to_node_number(name)
        named.append((numbers[name], number))
    named.sort()
    made = bytearray(len(named) * sizeof(core.node_spec))
    cdef core.node_spec *out = <core.node_spec *>PyByteArray_AS_STRING(made)
    c.count = len(named)
    c.nodes = out
    for node, number in named:
        out.node = node
        out.set = number
        out += 1
    return made


cdef inline bytearray to_frontends(core.service_spec *spec, object row):
    made = bytearray(len(row.frontends) * sizeof(core.frontend_spec))
    cdef core.frontend_spec *out = <core.frontend_spec *>PyByteArray_AS_STRING(made)
    cdef uint32_t flags = core.FRONTEND_LOCAL if row.external_local else 0
    spec.frontends = out
    spec.frontend_count = len(row.frontends)
    for frontend in row.frontends:
        out.key.addr = convert.to_addr_or_any(frontend.addr)
        out.key.port = core.to_be16(frontend.port)
        out.key.proto = row.proto
        out.flags = flags | core.FRONTEND_EXTERNAL
        if frontend.kind == "load-balancer" and row.ranges:
            out.flags |= core.FRONTEND_RANGES
        out += 1
    return made


cdef inline bytearray to_ranges(core.service_spec *spec, tuple rows):
    made = bytearray(len(rows) * sizeof(core.source_range))
    cdef core.source_range *out = <core.source_range *>PyByteArray_AS_STRING(made)
    spec.ranges = out
    spec.range_count = len(rows)
    for prefix, length in rows:
        convert.to_range(out, prefix, length)
        out += 1
    return made


cdef inline list to_service(core.service_spec *spec, object row, dict numbers):
    """All but the revision."""
    memset(spec, 0, sizeof(spec[0]))
    convert.to_service_key(&spec.key, row)
    spec.id = row.id
    spec.affinity_s = row.affinity_s
    spec.flags = core.FRONTEND_LOCAL if row.internal_local else 0
    if row.is_host_port:
        spec.flags = core.FRONTEND_EXTERNAL | core.FRONTEND_LOCAL | core.FRONTEND_HOST
    kept = [to_endpoints(spec, row.packed_endpoints)]
    if row.relay is not None:
        spec.relay_port = core.to_be16(row.relay.port)
    if row.sets:
        kept += to_sets(spec, row.sets)
    cluster, local = row.cluster, row.local
    spec.cluster.otherwise = cluster.otherwise
    spec.local.otherwise = local.otherwise
    if cluster.nodes:
        kept.append(to_nodes(&spec.cluster, cluster.nodes, numbers))
    if local.nodes:
        kept.append(to_nodes(&spec.local, local.nodes, numbers))
    if row.frontends:
        kept.append(to_frontends(spec, row))
    if row.ranges:
        kept.append(to_ranges(spec, row.ranges))
    return kept
