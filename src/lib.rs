//! watchpost reads sensor boards and cameras on a Raspberry Pi and sends what they measure and see, together, over
//! ZeroMQ to a receiver. One crate and one program for both ends, and a second program, `src/video/`, for cameras that only
//! OpenCV can read: nothing here names that.
//!
//! ```text
//! boards  ─ serial ─┐                                                   ┌─ wall (newest frames and readings) ─ web page
//!                   ├─ state + spool ─┐                                 ├─ history (every reading)
//! cameras ─ capture ┴ encode ─ newest ┴─ wire ─ link ~~~~ link ─ wire ─ intake ─┴─ recorder, save, json lines
//!                  agent                                               receiver
//! ```
//!
//! Frames and readings are different goods. A frame is perishable: only the newest counts, so it waits in a slot where
//! the next one replaces it, and what was dropped is counted. A reading is a record: each is numbered, and kept until a
//! receiver has said that it has it for good. A receiver says which frames it has seen, too, so that none waits on the way.
//!
//! # The modules, in reading order
//!
//! A module uses only what stands above it here, and its own children; `tests/layering.rs` keeps it so, with what else
//! each must not know.
//!
//! - `lock`: one way to lock a mutex. `backoff`: delays between attempts.
//! - [`name`]: what agents, cameras and ports are called, so that a name is safe wherever it goes.
//! - [`clock`]: when something was captured, on both clocks.
//! - [`host`]: the state of the machine: power, heat, memory, disk, clock. Knows no agent.
//! - [`quantity`]: what boards measure: names, units, usual labels, possible values.
//! - [`service`]: what the service manager is told, and whether threads still move. Knows no part of either end.
//! - `workers`: a set of tasks, one per configuration table. Knows no table and no work.
//! - [`ranges`]: which numbers of a sequence there are. Knows nothing but numbers.
//! - [`key`]: one CURVE key, as bytes and as text.
//! - [`config`]: TOML to plain, checked structs. Knows no component that uses them.
//! - [`auth`]: files of secrets, CURVE key pairs and the page's tokens. Knows no socket and no page.
//! - [`store`]: an `SQLite` file that outlives damage and power cuts. Knows no table of its users.
//! - [`reading`]: readings, and the state struct that an agent's parts share. Knows no wire.
//! - [`jpeg`]: whether a decoder takes what a camera calls a JPEG. Knows nothing but bytes.
//! - [`frame`]: pictures, and the slots for the newest ones. Knows no camera and no wire.
//! - [`wire`]: messages to bytes and back, every format. Pure: no sockets.
//! - [`link`]: a ZeroMQ socket for tokio tasks, and who may come to it. Knows no message.
//! - [`agent`]: boards and cameras in, links out. Never names the receiver. Its `camera` module knows no wire and no
//!   link, its `line` module nothing but bytes, quantities and what is configured of them.
//! - [`receiver`]: links in, the wall, the page, the history and recordings out. Never names the agent.
//! - [`cmd`]: the subcommands `check`, `devices`, `doctor`, `keygen` and `demo`.
//!
//! # Threads and tasks
//!
//! One thread runs all tokio tasks: a task a serial port, a camera, a link, a viewer. A camera's task starts a thread
//! while its frames are wanted, because drivers block, and gives it up when it hangs. Streams, files and pipelines are read
//! by libraries that hang worse, damage memory and are large: there the thread starts a process, asks it for each picture,
//! and kills it when it gives no answer. A link is a task and not a thread: it waits for the newest frames, the readings and
//! the socket at once, and a slow peer costs it nothing but its turn; who wants to come in is answered in between. libzmq
//! adds two threads a link, each link's own, so that a name server that does not answer one is no trouble of another. Disks
//! hang, too: the spool and the history have a thread each, the recorder has two, and nobody waits for them but who wants
//! something of theirs.
//!
//! # Deliberately absent
//!
//! No trait objects for cameras, links and formats: the sets are closed, enums delegate. No channels of frames but the
//! recorder's, which wants them all: a queue is where a picture grows old. No module for errors, types or helpers: each lives
//! beside what returns or uses it.

mod lock;
mod backoff;
pub mod os_error;
pub mod name;
pub mod clock;
pub mod host;
pub mod quantity;
pub mod service;
mod workers;
pub mod ranges;
pub mod key;
pub mod config;
pub mod auth;
pub mod store;
pub mod reading;
pub mod jpeg;
pub mod frame;
pub mod wire;
pub mod link;
pub mod agent;
pub mod receiver;
pub mod cmd;
