//! Keys for encrypted links.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use watchpost::config::ServerKey;

use super::{Bench, PATIENCE};

/// The key that a raw socket presents to a CURVE server.
pub enum Shows<'a> {
    /// No key: the socket does not use CURVE.
    Nothing,
    /// A new, unknown key, for the server of this name.
    Strange(&'a str),
    /// The key of the first name, for the server of the second.
    Key(&'a str, &'a str),
}

impl Bench {
    /// Runs `watchpost keygen NAME` in the bench's key directory.
    pub fn keygen(&self, name: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        command.args(["keygen", name, "--dir"]).arg(self.path("keys")).output().expect("watchpost starts")
    }

    /// A file of the key pair `name`, which is created if necessary.
    pub fn key(&self, name: &str, extension: &str) -> PathBuf {
        let path = self.path("keys").join(format!("{name}.{extension}"));
        if !path.exists() {
            assert!(self.keygen(name).status.success());
        }
        path
    }

    /// Allows a key at every bound end of the bench.
    pub fn allow(&self, name: &str) {
        fs::create_dir_all(self.path("allowed")).expect("a temporary directory");
        fs::copy(self.key(name, "key"), self.path("allowed").join(format!("{name}.key"))).expect("a key");
    }

    /// The curve table of a bound end.
    pub fn server(&self, name: &str) -> String {
        fs::create_dir_all(self.path("allowed")).expect("a temporary directory");
        let (secret, allowed) = (self.key(name, "key_secret"), self.path("allowed"));
        let (secret, allowed) = (secret.display(), allowed.display());
        format!("curve = {{ secret_key_file = \"{secret}\", allowed_keys_dir = \"{allowed}\" }}")
    }

    /// The curve table of an end that connects to `server`.
    pub fn client(&self, name: &str, server: &str) -> String {
        let (secret, server) = (self.key(name, "key_secret"), self.key(server, "key"));
        let (secret, server) = (secret.display(), server.display());
        format!("curve = {{ secret_key_file = \"{secret}\", server_key = \"{server}\" }}")
    }

    /// The curve table of a receiver that permits the key to send as the agent.
    pub fn permitting(table: &str, key: &str, agent: &str) -> String {
        table.replace(" }", &format!(", agents = {{ {key} = [\"{agent}\"] }} }}"))
    }

    /// A plain ZeroMQ socket, connected to a bound end.
    pub fn raw(&self, kind: zmq::SocketType, address: &str, shows: &Shows) -> zmq::Socket {
        let socket = zmq::Context::new().socket(kind).expect("a socket");
        socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_linger(0).expect("an option");
        let public = |name: &str| ServerKey::File(self.key(name, "key")).read().expect("a key").0;
        if let Shows::Strange(server) | Shows::Key(_, server) = shows {
            let pair = zmq::CurveKeyPair::new().expect("a key pair");
            let (mut public_key, mut secret_key) = (pair.public_key, pair.secret_key);
            if let Shows::Key(name, _) = shows {
                let path = self.key(name, "key_secret");
                let keys = watchpost::auth::certificate::KeyPair::read(&path).expect("a key pair");
                (public_key, secret_key) = (keys.public.0, keys.secret.0);
            }
            socket.set_curve_publickey(&public_key).expect("an option");
            socket.set_curve_secretkey(&secret_key).expect("an option");
            socket.set_curve_serverkey(&public(server)).expect("an option");
        }
        if kind == zmq::SUB {
            socket.set_subscribe(b"").expect("a topic");
        }
        socket.connect(address).expect("an address");
        socket
    }
}
