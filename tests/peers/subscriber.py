"""A pyzmq subscriber: prints the header and the picture size of each frame of a topic."""
import io
import json
import sys

import zmq
from PIL import Image

socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe(sys.argv[2])
while True:
    topic, header, jpeg = socket.recv_multipart()
    picture = Image.open(io.BytesIO(jpeg))
    picture.load()
    print(json.dumps({"topic": topic.decode(), "header": json.loads(header), "size": picture.size}))
