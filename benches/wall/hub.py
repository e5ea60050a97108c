"""An imagezmq hub that stores each frame as a file in a directory per sender, as imagezmq's users do."""
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
    target = os.path.join(directory, sender.replace(" ", "/"))
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(target, f"{number:08}.jpg"), "wb") as file:
        file.write(jpeg)
    number += 1
