"""What developers measure: the packet path in memory, soaks, the tables of docs/performance.md."""
