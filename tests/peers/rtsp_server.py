"""A network camera: an RTSP server of Motion JPEG whose pictures encode their capture time.

A picture has 24 vertical bars of equal width, white for 1 and black for 0, highest bit first. They encode milliseconds
of the system's monotonic clock. Needs Debian's Python with the packages python3-gi and gir1.2-gst-rtsp-server-1.0.

    rtsp_server.py PORT WIDTH HEIGHT FPS      port 0 picks a free port; prints the stream's address
"""
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

BITS = 24
port, width, height, fps = (int(argument) for argument in sys.argv[1:])
# I420: full lines of bars as luma, neutral chroma.
chroma = bytes([128]) * (width * height // 2)


def picture():
    now = int(time.monotonic() * 1000)
    bits = [now >> (BITS - 1 - x * BITS // width) & 1 for x in range(width)]
    return bytes(235 if bit else 16 for bit in bits) * height + chroma


def push_pictures(source):
    """Pushes pictures at the frame rate until the stream is closed."""
    due = time.monotonic()
    while source.emit("push-buffer", Gst.Buffer.new_wrapped(picture())) == Gst.FlowReturn.OK:
        due = max(due + 1 / fps, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))


def configure(_, media):
    source = media.get_element().get_child_by_name("source")
    threading.Thread(target=push_pictures, args=[source], daemon=True).start()


Gst.init(None)
factory = GstRtspServer.RTSPMediaFactory(shared=True)
# As in a real camera, pictures that the network cannot take are dropped instead of queued.
factory.set_launch(
    "( appsrc name=source is-live=true format=time do-timestamp=true max-buffers=1 leaky-type=downstream"
    f" caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
    " ! jpegenc ! rtpjpegpay name=pay0 )"
)
factory.connect("media-configure", configure)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(port))
server.get_mount_points().add_factory("/camera", factory)
if not server.attach():
    sys.exit(f"port {port} is in use")
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/camera", flush=True)
GLib.MainLoop().run()
