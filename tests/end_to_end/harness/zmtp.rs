//! A ZeroMQ peer without a library, which can send what libzmq would not. It does not use CURVE.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

/// Connects to a link from an address of this machine.
pub fn connect_from(source: [u8; 4], link: &str) -> io::Result<TcpStream> {
    let link: SocketAddrV4 = link.trim_start_matches("tcp://").parse().expect("an address");
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let [a, b, c, d] = source;
    bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0))?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(link))?;
    Ok(TcpStream::from(socket))
}

/// Connects and completes the handshake (ZeroMQ RFC 23) as a socket of this type.
pub fn peer(source: [u8; 4], link: &str, socket_type: &str) -> TcpStream {
    let mut peer = connect_from(source, link).expect("a connection");
    let mut greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL".to_vec();
    greeting.resize(64, 0);
    peer.write_all(&greeting).expect("a greeting");
    peer.read_exact(&mut [0; 64]).expect("a greeting");
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.push(socket_type.len() as u8);
    ready.extend(socket_type.as_bytes());
    let head = [4, ready.len() as u8];
    peer.write_all(&[&head[..], &ready].concat()).expect("a command");
    // The other end may refuse messages that arrive before it has accepted this one.
    let mut head = [0; 2];
    peer.read_exact(&mut head).expect("a command");
    peer.read_exact(&mut vec![0; head[1].into()]).expect("a command");
    peer
}

/// The head of a part after which more parts follow.
pub fn part_head(length: usize) -> [u8; 9] {
    let mut head = [3; 9];
    head[1..].copy_from_slice(&(length as u64).to_be_bytes());
    head
}
