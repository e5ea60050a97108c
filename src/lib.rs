//! watchpost reads sensor boards and cameras on a Raspberry Pi, and sends readings and frames over ZeroMQ to a receiver.
//! This crate and its program are both ends. A second program, `src/video/`, reads cameras that need OpenCV. No module
//! here depends on it.
//!
//! ```text
//! boards  ─ serial ─┐                                                   ┌─ wall (newest frames and readings) ─ web page
//!                   ├─ state + spool ─┐                                 ├─ history (every reading)
//! cameras ─ capture ┴ encode ─ newest ┴─ wire ─ link ~~~~ link ─ wire ─ intake ─┴─ recorder, save, json lines
//!                  agent                                               receiver
//! ```
//!
//! Frames and readings are treated differently. Only the newest frame counts: it waits in a slot until the next one replaces
//! it, and dropped frames are counted. Every reading counts: each has a number, and is kept until a receiver acknowledges
//! that it stored it. A receiver also acknowledges frames, so that none queue up on the way.
//!
//! # The modules, in reading order
//!
//! A module uses only modules above it in this list, and its own children. `tests/layering/` checks this, and what else
//! each module must not know.
//!
//! - `lock`: one way to lock a mutex. `backoff`: delays between attempts. [`os_error`]: system errors without numbers.
//! - [`name`]: names of agents, cameras and ports, safe in topics, paths and on the page.
//! - [`clock`]: capture times on the wall clock and the monotonic clock.
//! - [`host`]: the state of the machine: power, temperature, memory, disk, clock. Knows no agent.
//! - [`quantity`]: the quantities that boards measure, with units, labels and valid ranges.
//! - [`service`]: notifications to systemd, and heartbeats of threads. Knows no part of either end.
//! - `workers`: a set of supervised tasks, one per configuration table. Knows no table and no work.
//! - [`ranges`]: sets of sequence numbers. Knows only numbers.
//! - [`key`]: one CURVE key, as bytes and as text.
//! - [`config`]: parses TOML to plain, checked structs. Knows no component that uses them.
//! - [`auth`]: files with secrets: CURVE key pairs and the page's tokens. Knows no socket and no page.
//! - [`store`]: an `SQLite` file that survives damage and power cuts. Knows no table of its users.
//! - [`reading`]: readings, and the state that an agent's parts share. Knows no wire.
//! - [`jpeg`]: checks whether a camera's frame is a decodable JPEG. Knows only bytes.
//! - [`frame`]: pictures, and the slots for the newest ones. Knows no camera and no wire.
//! - [`wire`]: encodes and decodes messages in every format. Pure: no sockets.
//! - [`link`]: a ZeroMQ socket for tokio tasks, with authentication of its peers. Knows no message.
//! - [`agent`]: reads boards and cameras, and sends to links. Never names the receiver. Its `camera` module knows no wire
//!   and no link. Its `line` module knows only bytes, quantities and their configuration.
//! - [`receiver`]: receives from links, and feeds the wall, the page, the history and the recordings. Never names the agent.
//! - [`cmd`]: the subcommands `agents`, `check`, `devices`, `doctor`, `keygen` and `demo`.
//!
//! # Threads and tasks
//!
//! One thread runs all tokio tasks: one task for each serial port, camera, link and viewer.
//!
//! - Camera drivers block. A camera's task starts a thread while a link takes its frames, and abandons the thread if it hangs.
//! - The thread of a camera that sends JPEGs over HTTP reads it, with a small runtime of its own.
//! - Other streams, files and pipelines need large libraries that can hang or crash. There the thread starts a process, requests
//!   each picture, and kills the process if it does not respond.
//! - A link is a task. It waits for frames, readings and its socket at once, and authenticates peers in between. A slow peer
//!   costs only its own turn. libzmq adds two threads for each link, so that a slow name server does not block other links.
//! - Disks hang, too. The spool and the history have one thread each, the recorder has two, and only requests for their data
//!   wait for them.
//!
//! # Deliberately absent
//!
//! - Trait objects for cameras, links and formats: the sets are closed, so enums delegate.
//! - Channels of frames, except the recorder's, which needs every frame: pictures grow old in a queue.
//! - Modules for errors, types or helpers: each is next to the code that returns or uses it.

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
