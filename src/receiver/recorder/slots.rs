//! Decides which cameras may have a file open, because each takes a file descriptor.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};

use super::library::CameraId;
use crate::name::Name;

/// Maximum number of files of one agent.
const MAX_PER_AGENT: usize = 64;

/// The files may use this part (1/4) of the process's descriptors, within these bounds.
const DESCRIPTORS_DIVISOR: u64 = 4;
const MIN_TOTAL: u64 = 64;
const MAX_TOTAL: u64 = 4096;

/// A camera silent for this long makes room for any other one.
const MIN_SILENCE: Duration = Duration::from_secs(2);

/// Where another camera's file fits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// In place of this camera's file.
    Of(CameraId),
    None,
}

/// Maximum number of files of all agents.
pub(super) fn max_total() -> usize {
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    (descriptors / DESCRIPTORS_DIVISOR).clamp(MIN_TOTAL, MAX_TOTAL) as usize
}

/// Finds room for another file of an agent among at most `max` files, given the cameras with a file and when their last
/// frames arrived. When all files are in use, the camera that has been silent for longest makes room: of the agent with
/// the most files, or of the same agent if it has its full share. It makes room at once if files are then shared more
/// evenly, and otherwise only if it is silent.
pub(super) fn find(agent: &Name, max: usize, open: &[(&CameraId, Instant)]) -> Room {
    let mut counts = HashMap::<&Name, usize>::new();
    for (camera, _) in open {
        *counts.entry(&camera.0).or_default() += 1;
    }
    let own = counts.get(agent).copied().unwrap_or(0);
    let has_share = own < MAX_PER_AGENT;
    if has_share && open.len() < max {
        return Room::Free;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let is_candidate = |camera: &CameraId| if has_share { counts[&camera.0] == most } else { camera.0 == *agent };
    let longest = open.iter().filter(|(camera, _)| is_candidate(camera)).min_by_key(|(_, received)| *received);
    let is_fairer = has_share && (own == 0 || own + 1 < most);
    let min_silence = if is_fairer { Duration::ZERO } else { MIN_SILENCE };
    match longest {
        Some((camera, received)) if received.elapsed() >= min_silence => Room::Of((*camera).clone()),
        _ => Room::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cameras of agents, given as `(agent, cameras, seconds of silence)`.
    fn cameras(agents: &[(&str, usize, u64)]) -> Vec<(CameraId, Instant)> {
        let mut cameras = Vec::new();
        for (agent, count, silence) in agents {
            let received = Instant::now().checked_sub(Duration::from_secs(*silence)).expect("a time");
            let names = (0..*count).map(|number| (Name::nearest(agent), Name::nearest(&number.to_string())));
            cameras.extend(names.map(|name| (name, received)));
        }
        cameras
    }

    fn found(agent: &str, max: usize, agents: &[(&str, usize, u64)]) -> Room {
        let cameras = cameras(agents);
        let open: Vec<_> = cameras.iter().map(|(camera, received)| (camera, *received)).collect();
        find(&Name::nearest(agent), max, &open)
    }

    fn of(agent: &str) -> Room {
        Room::Of((Name::nearest(agent), Name::nearest("0")))
    }

    #[test]
    fn agent_with_fewer_files_gets_room_at_once() {
        assert_eq!(found("good", 10, &[("flood", 9, 0)]), Room::Free);
        assert_eq!(found("good", 10, &[("flood", 10, 0)]), of("flood"));
        assert_eq!(found("good", 10, &[("flood", 6, 0), ("slow", 4, 9)]), of("flood"));
        assert_eq!(found("new", 2, &[("flood", 1, 0), ("slow", 1, 1)]), of("slow"));
    }

    #[test]
    fn agent_with_the_most_files_only_replaces_silent_cameras() {
        assert_eq!(found("flood", 10, &[("flood", 5, 0), ("good", 5, 1)]), Room::None);
        assert_eq!(found("flood", 10, &[("flood", 6, 3), ("good", 4, 9)]), of("flood"));
        assert_eq!(found("flood", 10, &[("flood", 6, 0), ("good", 4, 9)]), Room::None);
        // Two agents do not take the odd file from each other all the time.
        assert_eq!(found("good", 11, &[("flood", 6, 0), ("good", 5, 0)]), Room::None);
    }

    #[test]
    fn full_share_is_not_exceeded() {
        assert_eq!(found("flood", 1000, &[("flood", MAX_PER_AGENT, 0)]), Room::None);
        assert_eq!(found("flood", 1000, &[("flood", MAX_PER_AGENT, 3), ("good", 1, 9)]), of("flood"));
    }
}
