"""The `netsim` command: parsing and printing only. What it does lives in `netsim.lab`."""
