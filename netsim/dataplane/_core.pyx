"""The binding: one class, one engine, conversions only.

Rows and records become C's structures, and back, in convert.pxd; C validates them. C never calls
Python, and calls that wait for workers run without the GIL. One thread at a time may use an Engine.
Errors of C become exceptions in check(), which names the row.
"""

import os

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from netsim.dataplane cimport convert, core, services
from netsim.dataplane.convert cimport check

from netsim.dataplane import records

ROLES = {
    "pod": core.IFACE_POD,
    "stack": core.IFACE_STACK,
    "tunnel": core.IFACE_TUNNEL,
    "wire": core.IFACE_WIRE,
}
KINDS = {
    "pod": core.ROUTE_POD,
    "stack": core.ROUTE_STACK,
    "peer": core.ROUTE_PEER,
    "unreachable": core.ROUTE_UNREACHABLE,
    "service-range": core.ROUTE_SERVICE_RANGE,
}
BACKENDS = {
    "vxlan": core.BACKEND_VXLAN,
    "udp": core.BACKEND_UDP,
    "host-gw": core.BACKEND_HOST_GW,
}
PROXY_WORDS = {  # of a ProxyRow, by field
    "detector": {
        "ClusterCIDR": core.DETECT_CLUSTER_CIDR,
        "NodeCIDR": core.DETECT_NODE_CIDR,
        "BridgeInterface": core.DETECT_INTERFACE,
        "InterfaceNamePrefix": core.DETECT_INTERFACE,
        "None": core.DETECT_NONE,
    },
    "refused_at": {
        "nowhere": 0,
        "cluster-ips": core.FRONTEND_OWN,
        "services": core.FRONTEND_OWN | core.FRONTEND_EXTERNAL,
    },
    "scheduler": {  # every endpoint has the same weight
        "random": core.SCHEDULE_RANDOM,
        "rr": core.SCHEDULE_ROUND_ROBIN,
        "wrr": core.SCHEDULE_ROUND_ROBIN,
        "lc": core.SCHEDULE_LEAST_CONNECTIONS,
        "wlc": core.SCHEDULE_LEAST_CONNECTIONS,
        "sed": core.SCHEDULE_SHORTEST_DELAY,
        "nq": core.SCHEDULE_SHORTEST_DELAY,
        "sh": core.SCHEDULE_SOURCE_HASH,
        "dh": core.SCHEDULE_DESTINATION_HASH,
        "mh": core.SCHEDULE_CONSISTENT_HASH,
    },
}
IO_METHODS = ("auto", "io_uring", "epoll")  # in the order of enum io_method
POLLING = ("sleep", "spin", "busy")  # of enum polling
BAD = (AttributeError, OverflowError, TypeError, ValueError)  # what conversions raise
cdef enum:
    FLOWS_PER_PART = 2048  # records that a worker looks at in one go: 40 us
cdef int live = 0  # engines


def live_engines():
    """Engines that have not been freed: a test that ends with more than it began with leaks."""
    return live


def drop_reasons():
    """Every reason for which packets die, as (name, text)."""
    return [
        (core.drop_reason_name(<core.drop_reason>i).decode(),
         core.drop_reason_text(<core.drop_reason>i).decode())
        for i in range(core.DROP_REASON_COUNT)
        if i != core.DROP_NONE
    ]


def engine_io():
    """What `io="auto"` comes to here, and the errno that io_uring was refused with, 0 if none."""
    cdef int error = 0
    return IO_METHODS[core.engine_io(&error)], -error


cdef class Engine:
    """Owns one engine. `workers` 0: stepped by the caller.

    Ids that it returns name nodes and ifaces and are never used again. ValueError: a row that
    contradicts itself or another; LookupError: no such node, iface or service; OSError: the rest.
    """

    cdef core.engine *ptr
    cdef dict numbers  # of nodes that services have named

    def __cinit__(self, unsigned workers=0, uint64_t seed=0, *, int arena_fd=-1,
                  uint64_t arena_bytes=0, unsigned pool_packets=0, str io="auto",
                  str polling="sleep"):
        global live
        cdef core.engine_config config
        memset(&config, 0, sizeof(config))
        config.workers = workers
        config.seed = seed
        config.arena_fd = arena_fd
        config.arena_bytes = arena_bytes
        config.pool_packets = pool_packets
        config.io = IO_METHODS.index(io)
        config.polling = POLLING.index(polling)
        check(core.engine_new(&self.ptr, &config), "engine")
        self.numbers = {}
        live += 1

    def __dealloc__(self):
        self.close()

    cpdef close(self):
        """Stop the workers and close every iface. Nothing else may be called afterwards."""
        global live
        cdef core.engine *gone = self.ptr
        self.ptr = NULL
        if gone is not NULL:
            live -= 1
            with nogil:
                core.engine_free(gone)

    cdef core.engine *open(self) except NULL:
        if self.ptr is NULL:
            raise ValueError("the engine is closed")
        return self.ptr

    def start(self):
        """Start the workers. ValueError on a stepped engine."""
        check(core.engine_start(self.open()), "start")

    def stop(self):
        """Stop the workers; packets wait in their ifaces."""
        core.engine_stop(self.open())

    # nodes

    def node_add(self, row):
        """Add a NodeRow; returns the node's id."""
        cdef core.node_config c
        cdef uint32_t node = 0
        try:
            convert.to_node(&c, BACKENDS, PROXY_WORDS, row)
        except BAD as error:
            raise ValueError(f"node {row.name}: {error}") from error
        check(core.engine_node_add(self.open(), &c, &node), f"node {row.name}")
        return node

    def node_remove(self, uint32_t node):
        """Remove a node and its ifaces."""
        check(core.engine_node_remove(self.open(), node), f"node {node}")

    def node_move(self, uint32_t node, unsigned worker):
        """Give a node to another worker, with its flows, ifaces and packets under way."""
        check(core.engine_node_move(self.open(), node, worker), f"node {node}")

    def balance(self):
        """Take a node from an overloaded worker, if that helps; returns nodes moved."""
        return check(core.engine_balance(self.open()), "balance")

    def node_routes(self, uint32_t node, rows):
        """Replace the node's own RouteRecords: its pods, its stack's addresses."""
        table = self.to_routes(rows)
        cdef const core.route_row *c = <const core.route_row *>PyByteArray_AS_STRING(table)
        check(core.engine_node_routes(self.open(), node, c, len(rows)), f"routes of node {node}")

    def adopt_flows(self, uint64_t now_ns):
        """Take over what an earlier process left in the arena; returns the number of flows."""
        return check(core.engine_adopt_flows(self.open(), now_ns), "adopting flows")

    # ifaces; descriptors are the engine's own from here on, on failure too

    def iface_queue(self, uint32_t node, role, name, *, mtu, addr=0):
        """Attach an in-memory iface; returns its id."""
        cdef uint32_t number = convert.lookup(ROLES, role, "role")
        cdef core.iface_config c = convert.to_iface(node, number, name, mtu, addr)
        cdef uint32_t iface = 0
        check(core.engine_iface_queue(self.open(), &c, &iface), f"iface {name}")
        return iface

    def iface_link(self, uint32_t node, name, *, mtu):
        """Attach the node to the fabric; returns the iface's id."""
        cdef core.iface_config c = convert.to_iface(node, core.IFACE_WIRE, name, mtu, 0)
        cdef uint32_t iface = 0
        check(core.engine_iface_link(self.open(), &c, &iface), f"iface {name}")
        return iface

    def iface_tun(self, uint32_t node, role, name, int fd, *, mtu, addr=0):
        """Attach a TUN descriptor; returns the iface's id."""
        cdef core.engine *e
        cdef core.iface_config c
        cdef uint32_t iface = 0
        try:
            e = self.open()
            c = convert.to_iface(node, convert.lookup(ROLES, role, "role"), name, mtu, addr)
        except BaseException:
            os.close(fd)
            raise
        check(core.engine_iface_tun(e, &c, fd, &iface), f"iface {name}")
        return iface

    def iface_udp(self, uint32_t node, name, fds, *, mtu):
        """Attach tunnel sockets: the first receives, others are senders; returns the iface's id."""
        cdef core.engine *e
        cdef core.iface_config c
        cdef int sockets[64]
        cdef uint32_t iface = 0
        try:
            e = self.open()
            c = convert.to_iface(node, core.IFACE_WIRE, name, mtu, 0)
            if not 1 <= len(fds) <= 64:
                raise ValueError(f"iface {name}: {len(fds)} sockets")
            for i, fd in enumerate(fds):
                sockets[i] = fd
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        check(core.engine_iface_udp(e, &c, sockets, len(fds), &iface), f"iface {name}")
        return iface

    def iface_remove(self, uint32_t iface):
        """Close an iface."""
        check(core.engine_iface_remove(self.open(), iface), f"iface {iface}")

    # tables

    cpdef service_set(self, row, uint64_t revision):
        """Put a ServiceRow in place, or in the place of the one with its key."""
        cdef core.service_spec spec
        cdef int rc
        try:
            kept = services.to_service(&spec, row, self.numbers)
        except BAD as error:
            raise ValueError(f"service {row.name}: {error}") from error
        spec.revision = revision
        rc = core.engine_service_set(self.open(), &spec)
        del kept
        if rc < 0:
            check(rc, f"service {row.name}")

    def services_begin(self):
        """What is set and removed from now on takes effect together, with services_end()."""
        core.engine_services_begin(self.open())

    def services_end(self):
        """What was set and removed since the beginning takes effect."""
        core.engine_services_end(self.open())

    def services(self, rows, uint64_t revision):
        """Put many in place, in order; the first that is refused ends it with its error."""
        for row in rows:
            self.service_set(row, revision)

    cdef bytearray to_routes(self, rows):
        table = bytearray(len(rows) * sizeof(core.route_row))
        cdef core.route_row *out = <core.route_row *>PyByteArray_AS_STRING(table)
        for row in rows:
            try:
                convert.to_route(out, KINDS, row)
            except BAD as error:
                raise ValueError(f"{row}: {error}") from error
            out += 1
        return table

    def service_remove(self, key):
        """Remove the service with a ServiceKey. LookupError: there is none."""
        cdef core.service_key k
        convert.to_service_key(&k, key)
        check(core.engine_service_remove(self.open(), &k), f"service {key}")

    def routes(self, rows):
        """Replace the shared RouteRecords. Peers that they name must be in place."""
        table = self.to_routes(rows)
        cdef const core.route_row *c = <const core.route_row *>PyByteArray_AS_STRING(table)
        check(core.engine_routes(self.open(), c, len(rows)), "routes")

    def peers(self, rows):
        """Replace the PeerRecords."""
        table = bytearray(len(rows) * sizeof(core.peer_row))
        cdef core.peer_row *c = <core.peer_row *>PyByteArray_AS_STRING(table)
        for i, row in enumerate(rows):
            try:
                convert.to_peer(&c[<Py_ssize_t>i], row)
            except BAD as error:
                raise ValueError(f"{row}: {error}") from error
        check(core.engine_peers(self.open(), c, len(rows)), "peers")

    def publish(self, uint64_t revision):
        """Say that the rows of a revision are in place."""
        check(core.engine_publish(self.open(), revision), f"revision {revision}")

    # reading back

    def node_revision(self, uint32_t node):
        """The revision that the node's last batch ran with, or its next one will."""
        cdef uint64_t revision = 0
        check(core.engine_node_revision(self.open(), node, &revision), f"node {node}")
        return revision

    def node_stats(self, uint32_t node):
        """NodeStats of a node."""
        cdef core.node_stats s
        check(core.engine_node_stats(self.open(), node, &s), f"node {node}")
        return convert.from_node_stats(records, &s)

    def iface_stats(self, uint32_t iface):
        """IfaceStats of an iface."""
        cdef core.iface_stats s
        check(core.engine_iface_stats(self.open(), iface, &s), f"iface {iface}")
        return convert.from_iface_stats(records, &s)

    def flows(self, uint32_t node, *, uint32_t cursor=0, match=None):
        """Some FlowRecords of a node that a FlowFilter (None: any) matches, and the next cursor.

        A cursor of 0 is the beginning and the end. A part is short, so that packets do not wait.
        """
        cdef core.flow_filter f
        cdef object copies = bytearray(FLOWS_PER_PART * sizeof(core.flow))
        cdef core.flow *found = <core.flow *>PyByteArray_AS_STRING(copies)
        convert.to_flow_filter(&f, match)
        count = core.engine_flows(self.open(), node, &f, &cursor, found, FLOWS_PER_PART)
        check(count, f"node {node}")
        return [convert.from_flow(records, &found[i]) for i in range(count)], cursor

    def flows_clear(self, uint32_t node):
        """Forget every connection of a node."""
        check(core.engine_flows_clear(self.open(), node), f"node {node}")

    def info(self):
        """EngineInfo."""
        cdef core.engine_info i
        check(core.engine_info_get(self.open(), &i), "engine")
        return convert.from_info(records, IO_METHODS, &i)

    # decision records and captures

    def trace(self, uint32_t node, match):
        """Mark the node's packets that a TraceFilter matches; None marks no more."""
        cdef core.trace_filter f
        convert.to_filter(&f, match)
        check(core.engine_trace(self.open(), node, &f), f"node {node}")

    def trace_drain(self):
        """Take the TraceRecords out; returns them and the number overwritten before."""
        cdef core.trace_record batch[128]
        cdef uint64_t missed = 0
        cdef uint64_t missed_before = 0
        cdef int64_t count = 1
        drained = []
        while count > 0:
            count = core.engine_trace_drain(self.open(), batch, 128, &missed)
            check(count, "decision records")
            drained += [convert.from_trace(records, &batch[i]) for i in range(count)]
            missed_before += missed
        return drained, missed_before

    def capture_start(self, uint32_t iface, int fd, uint32_t snaplen=0):
        """Write pcapng of an iface to fd, which is the engine's from here on; returns an id."""
        cdef uint32_t capture = 0
        check(
            core.engine_capture_start(self.open(), iface, fd, snaplen, &capture),
            f"capture of iface {iface}",
        )
        return capture

    def capture_socket(self, int packet_fd, int fd, name, uint32_t snaplen=0):
        """The same of a bound AF_PACKET socket, which is the engine's too; returns an id."""
        raw = name.encode()
        cdef uint32_t capture = 0
        check(
            core.engine_capture_socket(self.open(), packet_fd, fd, raw, snaplen, &capture),
            f"capture of {name}",
        )
        return capture

    def capture_stop(self, uint32_t capture):
        """End a capture; returns (packets written, packets missed)."""
        cdef core.engine *e = self.open()
        cdef uint64_t captured = 0, missed = 0
        cdef int rc
        with nogil:
            rc = core.engine_capture_stop(e, capture, &captured, &missed)
        check(rc, f"capture {capture}")
        return captured, missed

    def inject(self, uint32_t iface, const unsigned char[::1] packet, meta=None):
        """Hand a packet to the node as if received by an iface_queue. OSError: it is full."""
        cdef core.inject how
        cdef size_t length = packet.shape[0]
        cdef const void *data = &packet[0] if length else NULL
        convert.to_inject(&how, records.Meta() if meta is None else meta)
        check(core.engine_inject(self.open(), iface, data, length, &how), f"iface {iface}")

    def extract(self, uint32_t iface):
        """Take out what the node sent to an iface_queue: (packet, Meta), None if there is none."""
        cdef core.inject how
        packet = bytearray(66048)
        cdef void *room = PyByteArray_AS_STRING(packet)
        cdef int64_t length = core.engine_extract(self.open(), iface, room, 66048, &how)
        if check(length, f"iface {iface}") == 0:
            return None
        return bytes(packet[:length]), convert.from_inject(records, &how)

    def step(self, uint64_t now_ns):
        """Process everything that is queued, at this time; returns packets processed."""
        return check(core.engine_step(self.open(), now_ns), "step")

    def expire(self, uint64_t now_ns):
        """Forget the connections that have timed out by this time; returns how many."""
        return check(core.engine_expire(self.open(), now_ns), "expire")
