"""Namespaces, TUN, links, addresses and routes of the Linux kernel. See README.md here."""
