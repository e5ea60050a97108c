"""imagezmq's own hub, as its users run it. Prints the message and the picture size of each frame. With a second argument
it binds and replies to each frame; otherwise it subscribes."""
import io
import json
import sys

import imagezmq
from PIL import Image

answers = len(sys.argv) > 2
hub = imagezmq.ImageHub(open_port=sys.argv[1], REQ_REP=answers)
while True:
    message, jpeg = hub.recv_jpg()
    picture = Image.open(io.BytesIO(jpeg))
    picture.load()
    print(json.dumps({"msg": message, "size": picture.size}))
    if answers:
        hub.send_reply(b"OK")
