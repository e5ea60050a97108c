"""A receiver for watchpost agents with dealer links: keeps each camera's newest picture as AGENT-CAMERA.jpg in this
directory, and prints every reading. docs/protocol.md explains the messages. Usage: receiver.py tcp://127.0.0.1:5561"""
import json, re, sys, time

import zmq  # sudo apt install python3-zmq

if len(sys.argv) != 2:
    sys.exit(__doc__)
name = re.compile(r"[\w-][\w.-]{0,63}").fullmatch  # what is none must not become a path
socket = zmq.Context().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
agents, greeted = {}, 0.0

def say(agent, **control):
    socket.send_multipart([agent, json.dumps(control).encode()])

def take(agent, header, jpeg):
    if header["type"] == "frame" and name(header["agent"]) and name(header["camera"]):
        with open(f"{header['agent']}-{header['camera']}.jpg", "wb") as file:
            file.write(jpeg[0])
        say(agent, type="seen", camera=header["camera"], boot=header["boot"], seq=header["seq"])
    elif header["type"] == "readings":
        for batch in header["batches"]:
            for value in batch["values"]:
                print(header["agent"], batch["port"], value["quantity"], value["value"], value["unit"])

while True:
    if time.monotonic() - greeted > 1:
        greeted = time.monotonic()
        agents = {agent: heard for agent, heard in agents.items() if greeted - heard < 10}
        for agent in agents:
            say(agent, type="hello", v=1, window=1)
    if socket.poll(1000):
        try:
            agent, topic, header, *jpeg = socket.recv_multipart()
            take(agent, json.loads(header), jpeg)
            greeted = greeted if agent in agents else 0.0
            agents[agent] = time.monotonic()
        except (ValueError, LookupError, TypeError) as error:
            print("malformed message:", error, file=sys.stderr)
