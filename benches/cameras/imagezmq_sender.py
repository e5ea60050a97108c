"""Sends camera pictures as imagezmq's examples do: captures with OpenCV, encodes, sends, waits for the reply.

Runs one thread per camera, which costs a little less than one process per camera.

Usage: imagezmq_sender.py FORMAT HUB...   The first hub gets /dev/video0.
"""
import sys
import threading

import cv2
import imagezmq


def send(node, hub, fourcc):
    camera = cv2.VideoCapture(node, cv2.CAP_V4L2)
    camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*fourcc))
    camera.set(cv2.CAP_PROP_FRAME_WIDTH, 640)
    camera.set(cv2.CAP_PROP_FRAME_HEIGHT, 480)
    camera.set(cv2.CAP_PROP_FPS, 30)
    sender = imagezmq.ImageSender(connect_to=hub)
    while True:
        good, picture = camera.read()
        if not good:
            sys.exit(f"camera {node} returned no picture")
        good, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
        sender.send_jpg(f"camera {node}", jpeg)


for node, hub in enumerate(sys.argv[2:]):
    threading.Thread(target=send, args=(node, hub, sys.argv[1])).start()
