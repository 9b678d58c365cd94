"""Opens connections one after the other: `connections.py ADDRESS PORT COUNT PATH`.

Each is new and asks for PATH once. Prints a JSON object: how often each answer came.
"""

import collections
import http.client
import json
import sys

TIMEOUT_S = 10.0

answers: collections.Counter[str] = collections.Counter()
for _ in range(int(sys.argv[3])):
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=TIMEOUT_S)
    connection.request("GET", sys.argv[4])
    answers[connection.getresponse().read().decode()] += 1
    connection.close()
print(json.dumps(answers))
