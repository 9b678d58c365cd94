"""One lab: its init, data plane and control processes, sandboxes and programs; `Lab` scripts it."""
