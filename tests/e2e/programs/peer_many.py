"""Names of the servers that answer new connections: `peer_many.py ADDRESS PORT COUNT`."""

import socket
import sys

for _ in range(int(sys.argv[3])):
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as stream:
        print(stream.makefile("r").readline().split()[0])
