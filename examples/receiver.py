"""A receiver for watchpost agents with dealer links: keeps each camera's newest picture as AGENT-CAMERA.jpg in this
directory, and prints every reading. PROTOCOL.md says what is said here. Usage: receiver.py tcp://127.0.0.1:5561"""
import json
import sys
import time

import zmq

socket = zmq.Context().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
agents, greeted = set(), 0.0


def say(agent, **control):
    socket.send_multipart([agent, json.dumps(control).encode()])


while True:
    if time.monotonic() - greeted > 1:
        greeted = time.monotonic()
        for agent in agents:
            say(agent, type="hello", v=1, window=1)
    if not socket.poll(1000):
        continue
    agent, topic, header, *jpeg = socket.recv_multipart()
    header = json.loads(header)
    if agent not in agents:
        agents.add(agent)
        say(agent, type="hello", v=1, window=1)
    if header["type"] == "frame":
        with open(f"{header['agent']}-{header['camera']}.jpg", "wb") as file:
            file.write(jpeg[0])
        say(agent, type="seen", camera=header["camera"], boot=header["boot"], seq=header["seq"])
    elif header["type"] == "readings":
        for batch in header["batches"]:
            for value in batch["values"]:
                print(header["agent"], batch["port"], value["quantity"], value["value"], value["unit"])
