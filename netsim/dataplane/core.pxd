"""Mirror of csrc/netsim.h: what the binding uses of it, nothing else."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "netsim.h" nogil:
    ctypedef uint16_t be16
    ctypedef uint32_t be32

    be16 to_be16(uint16_t v)
    be32 to_be32(uint32_t v)
    uint16_t from_be16(be16 v)
    uint32_t from_be32(be32 v)

    struct addr:
        uint64_t w[2]
    addr addr_from_v4(be32 v4)
    be32 addr_to_v4(addr a)
    bint addr_is_v4(addr a)
    uint64_t name_number(const char *name, size_t len)

    struct flow_key:
        addr src
        addr dst
        be16 sport
        be16 dport
        uint8_t proto

    # names for numbers
    enum:
        DROP_NONE
        DROP_REASON_COUNT
        TRACE_STAGE_COUNT
        TRACE_EVENT_COUNT
        PEER_EXTERNAL
        BACKEND_VXLAN
        BACKEND_UDP
        BACKEND_HOST_GW
        IFACE_POD
        IFACE_STACK
        IFACE_TUNNEL
        IFACE_WIRE
        ROUTE_POD
        ROUTE_STACK
        ROUTE_PEER
        ROUTE_UNREACHABLE
        ROUTE_SERVICE_RANGE
        FLOW_TRANSLATED
        FLOW_MASQUERADED
        FLOW_SEEN_REPLY
        FLOW_ASSURED
        FRONTEND_OWN
        FRONTEND_EXTERNAL
        FRONTEND_LOCAL
        FRONTEND_RANGES
        FRONTEND_HOST
        DETECT_CLUSTER_CIDR
        DETECT_NODE_CIDR
        DETECT_INTERFACE
        DETECT_NONE
        SCHEDULE_RANDOM
        SCHEDULE_ROUND_ROBIN
        SCHEDULE_LEAST_CONNECTIONS
        SCHEDULE_SHORTEST_DELAY
        SCHEDULE_SOURCE_HASH
        SCHEDULE_DESTINATION_HASH
        SCHEDULE_CONSISTENT_HASH
    enum drop_reason:
        pass
    enum trace_stage:
        pass
    enum trace_event:
        pass
    enum flow_state:
        FLOW_STATE_COUNT
    const char *drop_reason_name(drop_reason reason)
    const char *drop_reason_text(drop_reason reason)
    const char *trace_stage_name(trace_stage s)
    const char *trace_event_name(trace_event e)
    const char *flow_state_name(uint8_t proto, flow_state state)

    # rows
    struct service_key:
        addr addr
        be16 port
        uint8_t proto
    struct endpoint_spec:
        addr addr
        be16 port
    struct frontend_spec:
        service_key key
        uint32_t flags
    struct source_range:
        addr prefix
        addr mask
    struct set_spec:
        const uint32_t *positions
        uint32_t count
    struct node_spec:
        uint64_t node
        uint32_t set
    struct choice_spec:
        uint32_t otherwise
        uint32_t count
        const node_spec *nodes
    struct service_spec:
        service_key key
        uint32_t flags
        uint32_t id
        uint32_t affinity_s
        uint64_t revision
        uint32_t count
        uint32_t set_count
        uint32_t frontend_count
        uint32_t range_count
        be16 relay_port
        const endpoint_spec *endpoints
        const set_spec *sets
        const frontend_spec *frontends
        const source_range *ranges
        choice_spec cluster
        choice_spec local
    struct affinity_limit:
        uint32_t clients
        bint evicts
    struct proxy_config:
        uint8_t detector
        bint masquerade_all
        bint localhost_node_ports
        uint8_t refused_at
        uint8_t range_count
        uint8_t scheduler
        bint by_entry
        bint bound
        bint own_first
        uint32_t drain_s
        bint refuses_own
        bint ranges_first
        bint drops_rest
        bint relays
        affinity_limit affinity
        source_range node_port_ranges[16]
    struct tracking_config:
        bint invalid_passes
        bint collisions_lose
        bint udp_races
    struct route_row:
        addr prefix
        uint8_t len
        uint8_t kind
        uint16_t pad
        uint32_t index
    struct peer_row:
        addr address
        uint8_t mac[6]
        be16 port
        uint32_t node
    struct node_config:
        char name[64]
        uint64_t number
        uint64_t uid
        addr address
        addr cni_addr
        addr stack_addr
        addr tunnel_addr
        addr cluster_cidr
        uint8_t cluster_len
        addr pod_cidr
        addr pod_mask
        uint8_t backend
        uint8_t vtep_mac[6]
        uint32_t vni
        be16 port
        uint16_t mtu
        uint32_t flows_max
        proxy_config proxy
        tracking_config tracking
    struct iface_config:
        uint32_t node
        uint8_t role
        uint16_t mtu
        addr addr
        char name[32]

    # what comes back
    struct node_stats:
        uint64_t drops[1]  # DROP_REASON_COUNT
        uint64_t packets
        uint64_t flows
        uint64_t flows_new
        uint64_t flows_expired
        uint64_t flows_stale
        uint64_t service_hits
        uint64_t service_rejects
        uint64_t affinity_hits
        uint64_t affinity_evicted
        uint64_t masquerade_collisions
        uint64_t localhost_node_ports
        uint64_t icmp_errors_sent
        uint64_t icmp_errors_translated
    struct iface_stats:
        uint64_t rx_packets
        uint64_t rx_bytes
        uint64_t tx_packets
        uint64_t tx_bytes
        uint64_t rx_segments
        uint64_t tx_segments
        uint64_t tx_drops
    struct flow:
        flow_key original
        flow_key reply
        uint64_t expires_ns
        uint32_t service
        uint8_t state
        uint8_t flags
    struct flow_filter:
        flow_key original
        flow_key reply
        uint8_t state
    struct trace_filter:
        addr src
        addr dst
        be16 sport
        be16 dport
        uint8_t proto
        bint on
        uint32_t limit
    struct trace_record:
        uint64_t time_ns
        uint64_t revision
        uint32_t trace_id
        uint32_t node
        uint32_t iface
        uint32_t object
        uint32_t detail
        uint8_t stage
        uint8_t event
        uint16_t len
        flow_key before
        flow_key after
    struct engine_info:
        uint64_t tables_bytes
        uint64_t flows_bytes
        uint64_t retired_waiting
        uint64_t services
        unsigned workers
        int io
        int io_error
    struct inject:
        uint8_t gso_type
        uint8_t needs_csum
        uint8_t mark
        uint16_t gso_size
        uint16_t csum_start
        uint16_t csum_offset
        uint16_t hdr_len
        be32 outer_src
        be32 outer_dst
        be16 outer_sport
        be16 outer_dport

    # calls
    struct engine:
        pass
    struct engine_config:
        unsigned workers
        uint64_t seed
        int arena_fd
        uint64_t arena_bytes
        unsigned pool_packets
        uint8_t io
        uint8_t polling
    int engine_io(int *error)
    int engine_new(engine **out, const engine_config *config)
    void engine_free(engine *e)
    int engine_start(engine *e)
    void engine_stop(engine *e)
    int engine_node_add(engine *e, const node_config *config, uint32_t *id)
    int engine_node_remove(engine *e, uint32_t id)
    int engine_node_move(engine *e, uint32_t node, unsigned worker)
    int engine_balance(engine *e)
    int engine_node_routes(engine *e, uint32_t node, const route_row *rows, size_t count)
    int engine_adopt_flows(engine *e, uint64_t now_ns)
    int engine_iface_queue(engine *e, const iface_config *c, uint32_t *id)
    int engine_iface_tun(engine *e, const iface_config *c, int fd, uint32_t *id)
    int engine_iface_udp(engine *e, const iface_config *c, const int *fds, size_t count,
                         uint32_t *id)
    int engine_iface_link(engine *e, const iface_config *c, uint32_t *id)
    int engine_iface_remove(engine *e, uint32_t id)
    int engine_service_set(engine *e, const service_spec *spec)
    int engine_service_remove(engine *e, const service_key *key)
    void engine_services_begin(engine *e)
    void engine_services_end(engine *e)
    int engine_routes(engine *e, const route_row *rows, size_t count)
    int engine_peers(engine *e, const peer_row *rows, size_t count)
    int engine_publish(engine *e, uint64_t revision)
    int engine_node_stats(engine *e, uint32_t node, node_stats *out)
    int engine_node_revision(engine *e, uint32_t node, uint64_t *revision)
    int engine_iface_stats(engine *e, uint32_t iface, iface_stats *out)
    int64_t engine_flows(engine *e, uint32_t node, const flow_filter *filter, uint32_t *cursor,
                         flow *out, uint32_t max)
    int engine_flows_clear(engine *e, uint32_t node)
    int engine_info_get "engine_info"(engine *e, engine_info *out)
    int engine_trace(engine *e, uint32_t node, const trace_filter *filter)
    int64_t engine_trace_drain(engine *e, trace_record *out, size_t max, uint64_t *missed)
    int engine_capture_start(engine *e, uint32_t iface, int fd, uint32_t snaplen, uint32_t *id)
    int engine_capture_socket(engine *e, int packet_fd, int fd, const char *ifname,
                              uint32_t snaplen, uint32_t *id)
    int engine_capture_stop(engine *e, uint32_t id, uint64_t *captured, uint64_t *missed)
    int engine_inject(engine *e, uint32_t iface, const void *data, size_t len, const inject *how)
    int64_t engine_extract(engine *e, uint32_t iface, void *data, size_t room, inject *how)
    int64_t engine_step(engine *e, uint64_t now_ns)
    int64_t engine_expire(engine *e, uint64_t now_ns)
