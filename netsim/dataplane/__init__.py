"""The data plane: rows in, packets through C, counters and decision records out."""
