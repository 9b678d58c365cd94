"""Answers datagrams of any size until killed: `udp_server.py PORT [ADDRESS]`.

An echo, or for the words `hostname` and `clientip` what they ask for.
"""

import socket
import sys

SIZE_MAX = 65_507

wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.bind((sys.argv[2] if len(sys.argv) > 2 else "", int(sys.argv[1])))
print("ready", flush=True)
while True:
    said, sender = wire.recvfrom(SIZE_MAX)
    answers = {b"hostname": socket.gethostname(), b"clientip": f"{sender[0]}:{sender[1]}"}
    wire.sendto(answers[said].encode() if said in answers else said, sender)
