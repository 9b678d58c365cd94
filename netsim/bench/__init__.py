"""`netsim bench`: netsim beside the kernel doing the same work, in turn, in one run."""
