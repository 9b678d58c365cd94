"""Measurements of netsim beside the kernel doing the same work, interleaved in one run."""
