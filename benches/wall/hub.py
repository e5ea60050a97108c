"""imagezmq's hub as its users store pictures with it: each frame a file in a directory of its sender's."""
import os
import sys

import imagezmq

directory = sys.argv[2]
hub = imagezmq.ImageHub(open_port=sys.argv[1])
print("bound", flush=True)
number = 0
while True:
    sender, jpeg = hub.recv_jpg()
    hub.send_reply(b"OK")
    place = os.path.join(directory, sender.replace(" ", "/"))
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, f"{number:08}.jpg"), "wb") as file:
        file.write(jpeg)
    number += 1
