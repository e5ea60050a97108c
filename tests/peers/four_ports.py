"""A typical user's receiver: one bound PAIR socket per camera, and one base64 JPEG per message.

Prints its ports, then one line per frame with the seconds since its start.
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
