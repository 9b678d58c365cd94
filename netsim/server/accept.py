"""Which form of an answer a client takes: plain JSON, or tables."""

from __future__ import annotations

from netsim.server.codec import media_type


def wants_table(accept: str) -> bool:
    """Whether the first form of `Accept` that this server has is a Table.

    Forms it does not have (protobuf, aggregated discovery) are passed over; a client that takes
    nothing else gets JSON all the same, which every client tried reads.
    """
    for form in accept.split(","):
        kind = media_type(form)
        if kind not in ("application/json", "application/*", "*/*"):
            continue
        parameters = {p.strip() for p in form.split(";")[1:]}
        if not any(p.startswith("as=") for p in parameters):
            return False
        if "as=Table" in parameters and "g=meta.k8s.io" in parameters:
            return True
    return False
