"""imagezmq's own hub, as its users run it: prints the message and the picture's size of each frame."""
import io
import json
import sys

import imagezmq
from PIL import Image

hub = imagezmq.ImageHub(open_port=sys.argv[1], REQ_REP=False)
while True:
    message, jpeg = hub.recv_jpg()
    picture = Image.open(io.BytesIO(jpeg))
    picture.load()
    print(json.dumps({"msg": message, "size": picture.size}))
