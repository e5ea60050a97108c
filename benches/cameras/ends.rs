//! Receiving ends, which count the frames that come.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};

use crate::harness::eventually;

/// Ends of one contender, a thread a connection; joined when dropped, which is after the contender has ended.
#[derive(Default)]
pub struct Ends {
    /// Where contenders are to connect to.
    pub addresses: Vec<String>,
    frames: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Whether a message is a frame, with a JPEG in it.
type IsFrame = fn(&[Vec<u8>]) -> bool;

/// Start of image: ITU-T T.81, table B.1.
const SOI: [u8; 2] = [0xff, 0xd8];

impl Ends {
    /// There are none: nobody receives.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// For the floor: lengths, each with so many bytes behind it.
    pub fn tcp(connections: u32) -> Ends {
        let mut ends = Ends::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        ends.addresses.push(listener.local_addr().expect("bound").port().to_string());
        let frames = Arc::clone(&ends.frames);
        ends.threads.push(spawn(move || {
            let readers = (0..connections).map(|_| {
                let (stream, frames) = (listener.accept().expect("the floor connects").0, Arc::clone(&frames));
                spawn(move || read_lengths(stream, &frames))
            });
            let readers: Vec<JoinHandle<()>> = readers.collect();
            for reader in readers {
                reader.join().expect("no panic");
            }
        }));
        ends
    }

    /// For ustreamer: a browser's view of the stream at each port.
    pub fn http(ports: &[u16]) -> Ends {
        let mut ends = Ends::default();
        for port in ports {
            let mut stream = eventually("it listens", || TcpStream::connect(("127.0.0.1", *port)).ok());
            stream.write_all(b"GET /stream HTTP/1.0\r\n\r\n").expect("it reads");
            let frames = Arc::clone(&ends.frames);
            ends.threads.push(spawn(move || read_multipart(stream, &frames)));
        }
        ends
    }

    /// Bound ZeroMQ sockets: PAIR for watchpost's links, REP for imagezmq's senders.
    pub fn bound(kind: zmq::SocketType, count: usize, is_frame: IsFrame) -> Ends {
        let (mut ends, context) = (Ends::default(), zmq::Context::new());
        for _ in 0..count {
            let socket = context.socket(kind).expect("a socket");
            socket.bind("tcp://127.0.0.1:*").expect("a free port");
            ends.addresses.push(socket.get_last_endpoint().expect("bound").expect("an address"));
            ends.count(socket, is_frame);
        }
        ends
    }

    /// A subscriber to everything.
    pub fn subscriber(address: &str, is_frame: IsFrame) -> Ends {
        let mut ends = Ends::default();
        let socket = zmq::Context::new().socket(zmq::SUB).expect("a socket");
        socket.set_subscribe(b"").expect("an option");
        socket.connect(address).expect("an address");
        ends.count(socket, is_frame);
        ends
    }

    fn count(&mut self, socket: zmq::Socket, is_frame: IsFrame) {
        let (frames, over) = (Arc::clone(&self.frames), Arc::clone(&self.over));
        socket.set_rcvtimeo(100).expect("an option");
        let replies = socket.get_socket_type() == Ok(zmq::REP);
        self.threads.push(spawn(move || {
            while !over.load(Relaxed) {
                let Ok(parts) = socket.recv_multipart(0) else { continue };
                frames.fetch_add(is_frame(&parts).into(), Relaxed);
                if replies {
                    socket.send("OK", 0).expect("it was asked");
                }
            }
        }));
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What tells frames from other messages in a format of watchpost's.
pub fn is_frame(format: &str) -> IsFrame {
    match format {
        "watchpost" => |parts| parts[0].starts_with(b"frame/") && parts[2].starts_with(&SOI),
        "json" => |parts| parts[0].starts_with(br#"{"type":"frame""#),
        // "/9" are the first bits of SOI.
        "base64" => |parts| parts[0].starts_with(b"/9"),
        "imagezmq" => |parts| parts[1].starts_with(&SOI),
        other => unreachable!("{other}"),
    }
}

/// Reads until the contender is gone.
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

/// As above; parts have a length each, and nothing else of them is looked at.
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
