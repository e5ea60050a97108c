"""imagezmq's own hub, as its users run it: prints the message and the picture's size of each frame. With a second argument
it is bound and answers each of them, without it is a subscriber."""
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
