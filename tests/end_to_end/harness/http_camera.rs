//! A network camera that answers requests over HTTP or RTSP as a test wants.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How a camera answers a request. An error closes the connection.
pub trait Answer: Fn(&str, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static {}
impl<A: Fn(&str, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static> Answer for A {}

/// A camera on a free port. Its streams end when it is dropped.
pub struct HttpCamera {
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    connections: AtomicUsize,
    writes: AtomicUsize,
    /// The heads of all requests.
    requests: Mutex<Vec<String>>,
}

impl HttpCamera {
    pub fn start(answer: impl Answer) -> HttpCamera {
        HttpCamera::start_with(None, answer)
    }

    pub fn start_tls(config: ServerConfig, answer: impl Answer) -> HttpCamera {
        HttpCamera::start_with(Some(Arc::new(config)), answer)
    }

    fn start_with(tls: Option<Arc<ServerConfig>>, answer: impl Answer) -> HttpCamera {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (shared, answer) = (Arc::<Shared>::default(), Arc::new(answer));
        let thread_shared = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if thread_shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, answer, tls) = (Arc::clone(&thread_shared), Arc::clone(&answer), tls.clone());
                shared.connections.fetch_add(1, Ordering::Relaxed);
                // Each ends when the other end closes its connection, or with the camera.
                std::thread::spawn(move || serve(stream.expect("a connection"), tls, &shared, &*answer));
            }
        });
        HttpCamera { port, shared, thread: Some(thread) }
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Number of pieces that were written so far: heads and parts.
    pub fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::Relaxed)
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for HttpCamera {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes its thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let ended = self.thread.take().expect("dropped only once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the camera's thread failed");
    }
}

/// Answers requests until the other end closes the connection.
fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, shared: &Shared, answer: &dyn Answer) {
    let Some(config) = tls else {
        let reader = stream.try_clone().expect("a second descriptor");
        return answer_each(&mut BufReader::new(reader), Some(stream), shared, answer);
    };
    let connection = ServerConnection::new(config).expect("a valid configuration");
    answer_each(&mut BufReader::new(StreamOwned::new(connection, stream)), None, shared, answer);
}

/// Writes to `writer`, or to the reader's own stream if there is none.
fn answer_each<S: Read + Write>(
    reader: &mut BufReader<S>,
    mut writer: Option<TcpStream>,
    shared: &Shared,
    answer: &dyn Answer,
) {
    while let Some(head) = head(reader) {
        shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
        let stream: &mut dyn Write = match &mut writer {
            Some(writer) => writer,
            None => reader.get_mut(),
        };
        if answer(&head, &mut UntilEnd { stream, shared }).is_err() {
            return;
        }
    }
}

fn head<S: Read>(reader: &mut BufReader<S>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A stream that cannot be written to after the camera's end.
struct UntilEnd<'a> {
    stream: &'a mut dyn Write,
    shared: &'a Shared,
}

impl Write for UntilEnd<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shared.ended.load(Ordering::Relaxed) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.shared.writes.fetch_add(1, Ordering::Relaxed);
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Writes the JPEGs again and again, each after `interval` and between two texts. LENGTH in the first one stands for the
/// JPEG's length.
pub fn stream_of(
    jpegs: &[Vec<u8>],
    interval: Duration,
    (before, after): (&str, &str),
    to: &mut dyn Write,
) -> io::Result<()> {
    for jpeg in jpegs.iter().cycle() {
        let head = before.replace("LENGTH", &jpeg.len().to_string());
        to.write_all(&[head.as_bytes(), jpeg, after.as_bytes()].concat())?;
        to.flush()?;
        sleep(interval);
    }
    Ok(())
}

/// Answers with a status, headers that end in a line break, and a body of known length.
pub fn reply(status: &str, headers: &str, body: &[u8], to: &mut dyn Write) -> io::Result<()> {
    to.write_all(format!("{status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).as_bytes())?;
    to.write_all(body)?;
    to.flush()
}
