"""A typical script for reading a board: pyserial's readline, and int() of the fields between dashes."""

import sys

import serial

port = serial.Serial(sys.argv[1], 115200)
print("open")
while True:
    parts = port.readline().decode().strip().split("-")
    values = [int(part) for part in parts[1::2]]
