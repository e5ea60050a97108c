"""A receiver that uses pyzmq's own encryption: a bound PAIR socket that accepts the keys in a directory.

    curve_receiver.py DIR                  creates the key pairs "python" and "agent" in DIR with zmq.auth
    curve_receiver.py SECRET ALLOWED_DIR   prints its address, then the size of each message's last part
"""
import sys

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

if len(sys.argv) == 2:
    for name in ["python", "agent"]:
        zmq.auth.create_certificates(sys.argv[1], name)
    sys.exit()

context = zmq.Context()
authenticator = ThreadAuthenticator(context)
authenticator.start()
authenticator.configure_curve(domain="*", location=sys.argv[2])
socket = context.socket(zmq.PAIR)
socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(sys.argv[1])
socket.curve_server = True
print(f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}")
while True:
    print(len(socket.recv_multipart()[-1]))
