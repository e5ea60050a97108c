//! Simulated browsers: each opens a WebSocket and acknowledges every frame at once.

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
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<f64>>>,
}

/// Starts viewers of a page.
pub fn start(page: &str, viewers: usize) -> Viewers {
    let stop = Arc::new(AtomicBool::new(false));
    let viewer = |_| {
        let (url, stop) = (format!("ws://{page}/live?changes=true"), Arc::clone(&stop));
        spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(view(&url, &stop))
        })
    };
    let threads = (0..viewers).map(viewer).collect();
    Viewers { stop, threads }
}

impl Viewers {
    /// Stops the viewers and returns the ages of the frames they received, in milliseconds.
    pub fn stop(self) -> Vec<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("a viewer stops")).collect()
    }
}

async fn view(url: &str, stop: &AtomicBool) -> Vec<f64> {
    let (mut socket, _) = connect_async(url).await.expect("a WebSocket");
    let mut ages = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(Some(Ok(message))) = timeout(Duration::from_secs(1), socket.next()).await else { continue };
        let Message::Binary(bytes) = message else { continue };
        let length = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        let header: Value = serde_json::from_slice(&bytes[4..4 + length]).expect("JSON");
        let sent = u64::from_be_bytes(bytes[bytes.len() - 8..].try_into().expect("eight bytes"));
        ages.push(now_us().saturating_sub(sent) as f64 / 1e3);
        let seen =
            format!("{}/{}", header["agent"].as_str().expect("a name"), header["camera"].as_str().expect("a name"));
        socket.send(Message::text(json!({ "seen": seen }).to_string())).await.expect("the message is sent");
    }
    ages
}
