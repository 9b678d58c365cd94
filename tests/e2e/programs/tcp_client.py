"""Asks over one connection: `tcp_client.py ADDRESS PORT`, a path a line of stdin.

Each answer is a line, and so is the name of an error; the connection is never opened again.
"""

import http.client
import sys

TIMEOUT_S = 10.0

connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=TIMEOUT_S)
connection.auto_open = 0
connection.connect()
for line in sys.stdin:
    try:
        connection.request("GET", line.strip())
        print(connection.getresponse().read().decode(), flush=True)
    except (OSError, http.client.HTTPException) as error:
        print(type(error).__name__, flush=True)
