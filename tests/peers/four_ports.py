"""The receiver that people have: a bound PAIR socket a camera, each message a JPEG as base64.

Prints the ports it got, then a line a frame, with the seconds since the start by its own clock.
"""
import base64
import io
import json
import time

import zmq
from PIL import Image

context = zmq.Context()
sockets = {}
for camera in range(4):
    socket = context.socket(zmq.PAIR)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    sockets[socket] = port
print(json.dumps({"ports": list(sockets.values())}))

poller = zmq.Poller()
for socket in sockets:
    poller.register(socket, zmq.POLLIN)
start = time.monotonic()
while True:
    for socket, _ in poller.poll():
        picture = Image.open(io.BytesIO(base64.b64decode(socket.recv())))
        picture.load()
        print(json.dumps({"port": sockets[socket], "size": picture.size, "at": round(time.monotonic() - start, 4)}))
