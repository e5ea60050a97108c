//! Receivers that count the frames that arrive.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};

use crate::harness::eventually;

/// The receivers of one contender, one thread per connection. Dropping them joins the threads, so stop the contender first.
#[derive(Default)]
pub struct Receivers {
    /// Addresses for the contender to connect to.
    pub addresses: Vec<String>,
    frames: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Whether a message is a frame that contains a JPEG.
type IsFrame = fn(&[Vec<u8>]) -> bool;

/// Start of image: ITU-T T.81, table B.1.
const SOI: [u8; 2] = [0xff, 0xd8];

impl Receivers {
    /// Whether the contender has no receiver.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// The number of frames so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// For the floor: each frame follows its length.
    pub fn tcp(connections: u32) -> Receivers {
        let mut receivers = Receivers::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        receivers.addresses.push(listener.local_addr().expect("bound").port().to_string());
        let frames = Arc::clone(&receivers.frames);
        receivers.threads.push(spawn(move || {
            let readers = (0..connections).map(|_| {
                let (stream, frames) = (listener.accept().expect("the floor connects").0, Arc::clone(&frames));
                spawn(move || read_lengths(stream, &frames))
            });
            let readers: Vec<JoinHandle<()>> = readers.collect();
            for reader in readers {
                reader.join().expect("no panic");
            }
        }));
        receivers
    }

    /// For ustreamer: requests the stream at each port, as a browser does.
    pub fn http(ports: &[u16]) -> Receivers {
        let mut receivers = Receivers::default();
        for port in ports {
            let mut stream = eventually("it listens", || TcpStream::connect(("127.0.0.1", *port)).ok());
            stream.write_all(b"GET /stream HTTP/1.0\r\n\r\n").expect("a writable connection");
            let frames = Arc::clone(&receivers.frames);
            receivers.threads.push(spawn(move || read_multipart(stream, &frames)));
        }
        receivers
    }

    /// Bound ZeroMQ sockets: PAIR for watchpost's links, REP for imagezmq's senders.
    pub fn bound(kind: zmq::SocketType, count: usize, is_frame: IsFrame) -> Receivers {
        let (mut receivers, context) = (Receivers::default(), zmq::Context::new());
        for _ in 0..count {
            let socket = context.socket(kind).expect("a socket");
            socket.bind("tcp://127.0.0.1:*").expect("a free port");
            receivers.addresses.push(socket.get_last_endpoint().expect("bound").expect("an address"));
            receivers.count(socket, is_frame);
        }
        receivers
    }

    /// A subscriber to all topics.
    pub fn subscriber(address: &str, is_frame: IsFrame) -> Receivers {
        let mut receivers = Receivers::default();
        let socket = zmq::Context::new().socket(zmq::SUB).expect("a socket");
        socket.set_subscribe(b"").expect("an option");
        socket.connect(address).expect("an address");
        receivers.count(socket, is_frame);
        receivers
    }

    fn count(&mut self, socket: zmq::Socket, is_frame: IsFrame) {
        let (frames, stop) = (Arc::clone(&self.frames), Arc::clone(&self.stop));
        socket.set_rcvtimeo(100).expect("an option");
        let replies = socket.get_socket_type() == Ok(zmq::REP);
        self.threads.push(spawn(move || {
            while !stop.load(Relaxed) {
                let Ok(parts) = socket.recv_multipart(0) else { continue };
                frames.fetch_add(is_frame(&parts).into(), Relaxed);
                if replies {
                    socket.send("OK", 0).expect("a request precedes each reply");
                }
            }
        }));
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Distinguishes frames from other messages in one of watchpost's formats.
pub fn is_frame(format: &str) -> IsFrame {
    match format {
        "watchpost" => |parts| parts[0].starts_with(b"frame/") && parts[2].starts_with(&SOI),
        "json" => |parts| parts[0].starts_with(br#"{"type":"frame""#),
        // "/9" encodes the first bits of SOI.
        "base64" => |parts| parts[0].starts_with(b"/9"),
        "imagezmq" => |parts| parts[1].starts_with(&SOI),
        other => unreachable!("{other}"),
    }
}

/// Reads until the contender closes the connection.
fn read_lengths(mut stream: TcpStream, frames: &AtomicU64) {
    let (mut length, mut frame) = ([0; 4], Vec::new());
    while stream.read_exact(&mut length).is_ok() {
        frame.resize(u32::from_be_bytes(length) as usize, 0);
        if stream.read_exact(&mut frame).is_err() {
            return;
        }
        frames.fetch_add(1, Relaxed);
    }
}

/// Like `read_lengths`, for parts with a Content-Length header; ignores the other headers.
fn read_multipart(stream: impl Read, frames: &AtomicU64) {
    let (mut reader, mut line, mut length, mut jpeg) = (BufReader::new(stream), String::new(), None, Vec::new());
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().ok();
        }
        if let Some(bytes) = length.take_if(|_| line.trim().is_empty()) {
            jpeg.resize(bytes, 0);
            if reader.read_exact(&mut jpeg).is_err() {
                return;
            }
            frames.fetch_add(jpeg.starts_with(&SOI).into(), Relaxed);
        }
        line.clear();
    }
}
