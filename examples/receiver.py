"""A receiver for watchpost agents with dealer links: saves each camera's newest picture as AGENT-CAMERA.jpg and
prints every reading. docs/protocol.md describes the messages. Usage: receiver.py tcp://127.0.0.1:5561"""
import json, re, sys, time

import zmq  # sudo apt install python3-zmq

if len(sys.argv) != 2:
    sys.exit(__doc__)
name = re.compile(r"[\w-][\w.-]{0,63}").fullmatch  # only valid names may become file names
socket = zmq.Context().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
agents, greeted = {}, 0.0

def send(agent, **control):
    socket.send_multipart([agent, json.dumps(control).encode()])

def handle(agent, header, jpeg):
    if header["type"] == "frame" and name(header["agent"]) and name(header["camera"]):
        with open(f"{header['agent']}-{header['camera']}.jpg", "wb") as file:
            file.write(jpeg[0])
        send(agent, type="seen", camera=header["camera"], boot=header["boot"], seq=header["seq"])
    elif header["type"] == "readings":
        for batch in header["batches"]:
            for value in batch["values"]:
                print(header["agent"], batch["port"], value["quantity"], value["value"], value["unit"])

while True:
    if time.monotonic() - greeted > 1:
        greeted = time.monotonic()
        agents = {agent: last for agent, last in agents.items() if greeted - last < 10}
        for agent in agents:
            send(agent, type="hello", v=1, window=1)
    if socket.poll(1000):
        try:
            agent, topic, header, *jpeg = socket.recv_multipart()
            handle(agent, json.loads(header), jpeg)
            greeted = greeted if agent in agents else 0.0
            agents[agent] = time.monotonic()
        except (ValueError, LookupError, TypeError) as error:
            print("malformed message:", error, file=sys.stderr)
