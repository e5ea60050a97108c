//! A viewer of the receiver's WebSocket.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::http::get_json;
use super::{PATIENCE, Receiver};

/// A viewer that applies changes, as docs/http-api.md describes.
pub struct Viewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub state: State,
    /// The lengths of the texts.
    pub texts: Vec<usize>,
    /// How many of the texts have only changes.
    pub changes: usize,
}

/// The state as the viewer has it.
#[derive(Debug, Default, PartialEq)]
pub struct State {
    receiver: Map<String, Value>,
    pub agents: BTreeMap<String, Agent>,
}

#[derive(Debug, Default, PartialEq)]
pub struct Agent {
    pub head: Map<String, Value>,
    /// By port and quantity.
    pub readings: BTreeMap<(String, String), Value>,
}

impl State {
    fn apply(&mut self, message: Value) {
        let Value::Object(mut message) = message else { panic!("not an object: {message}") };
        if message.remove("type").expect("a type") == "wall" {
            *self = State::default();
        }
        for name in message.remove("removed").iter().flat_map(|removed| removed.as_array().expect("names")) {
            self.agents.remove(name.as_str().expect("a name"));
        }
        let agents = message.remove("agents").expect("agents");
        self.receiver.extend(message);
        for agent in agents.as_array().expect("a list") {
            let mut head = agent.as_object().expect("an object").clone();
            let known = self.agents.entry(agent["name"].as_str().expect("a name").to_owned()).or_default();
            let all = head.remove("readings");
            if all.is_some() {
                known.readings.clear();
            }
            for reading in
                all.or(head.remove("changed_readings")).iter().flat_map(|list| list.as_array().expect("a list"))
            {
                let key = |key: &str| reading[key].as_str().expect("a text").to_owned();
                known.readings.insert((key("port"), key("quantity")), reading.clone());
            }
            known.head.extend(head);
        }
    }

    /// The complete state at `/api/wall`.
    pub fn complete(receiver: &Receiver) -> State {
        let mut state = State::default();
        state.apply(get_json(&receiver.page, "/api/wall").1);
        state
    }

    pub fn without_ages(&self) -> State {
        let mut receiver = Value::Object(self.receiver.clone());
        remove_ages(&mut receiver);
        let mut state = State { receiver: receiver.as_object().expect("an object").clone(), ..State::default() };
        for (name, agent) in &self.agents {
            let mut head = Value::Object(agent.head.clone());
            let mut readings = agent.readings.clone();
            remove_ages(&mut head);
            readings.values_mut().for_each(remove_ages);
            let head = head.as_object().expect("an object").clone();
            state.agents.insert(name.clone(), Agent { head, readings });
        }
        state
    }
}

/// Removes the values that change while time passes.
fn remove_ages(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !matches!(key.as_str(), "heard_ms" | "for_ms" | "age_ms" | "refused_ago_ms"));
            members.values_mut().for_each(remove_ages);
        }
        Value::Array(values) => values.iter_mut().for_each(remove_ages),
        _ => {}
    }
}

impl Viewer {
    pub async fn open(receiver: &Receiver) -> Viewer {
        let (socket, _) =
            connect_async(format!("ws://{}/live?changes=true", receiver.page)).await.expect("a WebSocket");
        Viewer { socket, state: State::default(), texts: Vec::new(), changes: 0 }
    }

    /// Handles the next message and returns it; acknowledges frames.
    pub async fn next(&mut self) -> Message {
        let message = timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
        let message = message.expect("the socket stays open").expect("a message");
        match &message {
            Message::Text(text) => {
                self.texts.push(text.len());
                let message: Value = serde_json::from_str(text).expect("JSON");
                self.changes += usize::from(message["type"] == "changes");
                self.state.apply(message);
            }
            Message::Binary(bytes) => {
                let length = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
                let header: Value = serde_json::from_slice(&bytes[4..4 + length]).expect("JSON");
                let name = |key: &str| header[key].as_str().expect("a name").to_owned();
                let seen = json!({ "seen": format!("{}/{}", name("agent"), name("camera")) });
                self.socket.send(Message::text(seen.to_string())).await.expect("a sent message");
            }
            _ => {}
        }
        message
    }

    /// Handles messages until the state is as `wanted`.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&State) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !wanted(&self.state) {
            assert!(Instant::now() < end, "timed out: {what}: {:?}", self.state);
            self.next().await;
        }
    }

    pub fn value(&self, agent: &str, quantity: &str) -> Option<&Value> {
        let key = ("climate".to_owned(), quantity.to_owned());
        self.state.agents.get(agent)?.readings.get(&key).map(|reading| &reading["value"])
    }
}
