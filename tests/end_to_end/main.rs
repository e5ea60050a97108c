//! watchpost driven from its edges: pseudo-terminals, virtual cameras, films, sockets, unmodified Python peers and a
//! browser. Each module says what it shows.

mod harness;

/// Lines on serial ports arrive as readings.
mod boards;
/// USB cameras, as the kernel would show them.
mod cameras;
/// Wrong files are explained, the files in config/ are right.
mod configuration;
/// Encrypted links: who comes in, who does not, and what both are told.
mod curve;
/// The newcomer's command.
mod demo;
/// What is plugged in is listed by its stable names.
mod devices;
/// What would keep a machine from its job is found before it does.
mod doctor;
/// How a USB camera fares: at another number, with another format, without bandwidth, hanging, broken.
mod faults;
/// The four-camera example with films for cameras, and programs in other languages for receivers.
#[cfg(feature = "opencv")]
mod films;
/// How far a link may be ahead of its receiver, what a receiver says, and the patterns with a way back.
mod flow;
/// Files of keys: who may read them, what is wrong with them, whose they may be.
mod key_files;
/// Every reading is kept once and acknowledged.
mod history;
/// Charts of the history.
mod history_charts;
/// What was measured, as CSV and JSON.
mod history_exports;
/// What of the history goes, what stays, and what an older one lacks.
mod history_expiry;
/// Much of the history: days of five quantities a second.
mod history_year;
/// What becomes of the history when it is damaged or taken away, or its disk fails.
mod history_faults;
/// Peers that are not there, go and come back.
mod links;
/// How the machine is that an agent runs on.
mod machine;
/// What is left of readings when programs are killed.
mod kills;
/// How a serial port fares: unplugged, silent, flooding, at a wrong rate.
mod ports;
/// What stands for a camera that is down.
mod no_signal;
/// Network cameras for `streams`, and what a viewer sees of them.
#[cfg(feature = "opencv")]
mod network_camera;
/// What a browser shows.
mod page;
/// Footage is found again: the picture of a moment, and a range.
mod footage;
/// Footage: what came is in files.
mod recorder;
/// A recording that is cut anywhere.
mod recorder_cuts;
/// Which footage goes, and what becomes of it when files, disks and clocks fail.
mod recorder_faults;
/// A quantity over time: values under the cursor, gaps, ranges, export.
mod page_chart;
/// Footage in a browser: the picture of a moment, played and cut.
mod page_history;
/// The wall in a browser: cameras and readings as they come and go, and what is done with them.
mod page_wall;
/// Runs the code of README and docs/.
mod readme;
/// Another configuration for an agent that runs.
mod reload;
/// Another configuration for a receiver that runs, and what systemd is told of one.
mod reload_receiver;
/// What systemd is told, and what it is not told when a thread stands still.
mod service;
/// The program that reads films: hanging, killed, damaged, not there; and how little of it the agent has.
#[cfg(feature = "opencv")]
mod video;
/// Pictures turned, mirrored and cut.
mod views;
/// What is left of a spool when the power goes.
mod power_cuts;
/// How the programs end.
mod shutdown;
/// What the agent keeps until its receivers have it.
mod spool;
/// How readings are dated that waited while the clock was set.
mod spool_clock;
/// Its file with every byte changed and at every length.
mod spool_damage;
/// What waits goes on its way, whatever receiver and disk do.
mod spool_drain;
/// What becomes of readings while its disk fails.
mod spool_faults;
/// Network cameras: four at once, killed, silent, and quicker than the encoder.
#[cfg(feature = "opencv")]
mod streams;
/// Who may see the page and its API, and what becomes of those who may not.
mod web_access;
/// Cameras switched and looked at over the API.
mod web_cameras;
/// Connections that say nothing, and bodies that do not come.
mod web_connections;
/// Requests that nobody would make, 2,000 or as many as `WATCHPOST_HOSTILE` says.
mod web_hostile;
/// What Prometheus is told.
mod web_metrics;
/// How tokens are made, and which are taken.
mod web_tokens;
