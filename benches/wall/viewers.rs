//! Browsers, as far as their sockets go: each answers each frame at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::senders::now_us;

pub struct Viewers {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<f64>>>,
}

/// So many viewers of a page.
pub fn start(page: &str, viewers: usize) -> Viewers {
    let end = Arc::new(AtomicBool::new(false));
    let viewer = |_| {
        let (url, end) = (format!("ws://{page}/live"), Arc::clone(&end));
        spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(view(&url, &end))
        })
    };
    let threads = (0..viewers).map(viewer).collect();
    Viewers { end, threads }
}

impl Viewers {
    /// The ages of all frames that they were sent, milliseconds.
    pub fn stop(self) -> Vec<f64> {
        self.end.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
    }
}

async fn view(url: &str, end: &AtomicBool) -> Vec<f64> {
    let (mut socket, _) = connect_async(url).await.expect("a WebSocket");
    let mut ages = Vec::new();
    while !end.load(Ordering::Relaxed) {
        let Ok(Some(Ok(message))) = timeout(Duration::from_secs(1), socket.next()).await else { continue };
        let Message::Binary(bytes) = message else { continue };
        let length = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        let header: Value = serde_json::from_slice(&bytes[4..4 + length]).expect("JSON");
        let sent = u64::from_be_bytes(bytes[bytes.len() - 8..].try_into().expect("eight bytes"));
        ages.push(now_us().saturating_sub(sent) as f64 / 1e3);
        let seen =
            format!("{}/{}", header["agent"].as_str().expect("a name"), header["camera"].as_str().expect("a name"));
        socket.send(Message::text(json!({ "seen": seen }).to_string())).await.expect("it is sent");
    }
    ages
}
