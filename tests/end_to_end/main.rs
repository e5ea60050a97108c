//! End-to-end tests: they drive watchpost through pseudo-terminals, virtual cameras, video files, sockets, unmodified
//! Python peers and a browser. Each module below states what it covers.

mod harness;

/// Limits that an agent keeps: topics, headers, names, settings and counts.
mod agent_limits;
/// Backups taken while both ends run, and restored.
mod backup;
/// Boards: lines on serial ports become readings.
mod boards;
/// USB cameras: their frames, formats and failures.
mod cameras;
/// Configuration files: errors are explained, and the files in config/ are valid.
mod configuration;
/// Encrypted links: admitted and refused peers, and the log lines about them.
mod curve;
/// `watchpost demo`.
mod demo;
/// `watchpost devices`: plugged-in devices are listed by stable names.
mod devices;
/// `watchpost doctor`: problems are found before the agent or receiver starts.
mod doctor;
/// USB camera faults: a new device number, another format, no bandwidth, hanging, broken frames.
mod faults;
/// Flow control and control messages, on the patterns that let a receiver reply.
mod flow;
/// Hostile peers with a valid key, and agents that share a name.
mod hostile;
/// HTTP and RTSP cameras that answer in many ways: pictures, or causes in words.
mod http_cameras;
/// Key files: permissions, invalid contents, and `watchpost keygen`.
mod key_files;
/// The history: every reading is stored once and acknowledged.
mod history;
/// Charts of the history.
mod history_charts;
/// Exports of the history as CSV and JSON.
mod history_exports;
/// Expiry of the history, and migration of older files.
mod history_expiry;
/// Limits of the history: labels, series, refused readings, removal, and the list of series.
mod history_quotas;
/// A large history, of five readings a second: its charts and exports, for days or for a year.
mod history_year;
/// The history when its file is damaged or removed, or its disk fails.
mod history_faults;
/// Peers that take descriptors and memory of a link: floods of connections, and messages that do not end.
mod link_floods;
/// Links whose peers are absent, leave and return; message formats; foreign peers.
mod links;
/// Health of the agent's host: temperature, power, memory, disk, Wi-Fi and clock.
mod host;
/// Readings survive when programs are killed.
mod kills;
/// Serial port faults: unplugged, silent, flooding, wrong baud rate.
mod ports;
/// Placeholders for cameras that are down.
mod no_signal;
/// Simulated network cameras and a viewer, used by `streams` and `video`.
#[cfg(feature = "opencv")]
mod network_camera;
/// The page in a browser.
mod page;
/// Lookup of recordings: the frame at a moment, and a time range.
mod footage;
/// Recording: received frames are stored in files.
mod recorder;
/// Recordings truncated at any byte.
mod recorder_cuts;
/// Retention of recordings, and faults of files, disks and clocks.
mod recorder_faults;
/// Charts in a browser: values under the cursor, gaps, ranges, export.
mod page_chart;
/// Gaps in the page's charts and small lines, live and after a reload.
mod page_gaps;
/// Recordings in a browser: frames, playback and export.
mod page_history;
/// The state that viewers get: complete, and as changes.
mod live_state;
/// The live page in a browser: cameras and readings appear, disappear and are controlled.
mod page_wall;
/// Runs the code of README and docs/.
mod readme;
/// Limits on what agents may use of the receiver: memory, files, and names.
mod receiver_limits;
/// Reload of a running agent's configuration.
mod reload;
/// Reload of a running receiver's configuration, and its notifications to systemd.
mod reload_receiver;
/// The agent's notifications to systemd, which stop when a thread stalls.
mod service;
/// The video process: hanging, killed, damaged or missing; the agent loads no OpenCV.
#[cfg(feature = "opencv")]
mod video;
/// The four-camera example with video files as cameras and Python programs as receivers.
#[cfg(feature = "opencv")]
mod video_files;
/// Rotation, mirroring and cropping of pictures.
mod views;
/// The spool after a power cut.
mod power_cuts;
/// Shutdown of agent and receiver.
mod shutdown;
/// Agents that are away: remembered across restarts, forgotten, merged.
mod roster;
mod roster_changes;
/// Agents that are away, when the disk hangs, their file is damaged, or there are too many.
mod roster_faults;
/// The Arduino sketches of docs/boards.md compile, and the agent reads their lines.
mod sketches;
/// The spool: readings are stored until every receiver has acknowledged them.
mod spool;
/// Dates of spooled readings when the clock changes before they are sent.
mod spool_clock;
/// Spool files with any byte changed, and of any length.
mod spool_damage;
/// The spool is sent completely, even if the receiver or disk fails while it is sent.
mod spool_drain;
/// Readings while the spool's disk fails.
mod spool_faults;
/// Names of earlier versions, longer than those of today: their data is shown and removed.
mod stored_names;
/// Network cameras: four at once, killed, silent, or faster than the encoder.
#[cfg(feature = "opencv")]
mod streams;
/// Access to the page and its API: roles, login, rejected requests.
mod web_access;
/// Cameras controlled and viewed over the API.
mod web_cameras;
/// Silent connections and missing request bodies.
mod web_connections;
/// Hostile requests: 2,000, or as many as `WATCHPOST_HOSTILE` says.
mod web_hostile;
/// Metrics for Prometheus.
mod web_metrics;
/// Tokens: how they are created, and which are accepted.
mod web_tokens;
