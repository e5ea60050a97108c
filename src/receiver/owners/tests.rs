use super::*;
use crate::config::{Address, Endpoint, InPattern, ShownAs};

/// A receiver with two links.
struct Scene {
    inlet: Inlet,
    links: [LinkOwners; 2],
    now: Instant,
}

/// A connection of a link.
#[derive(Clone)]
struct Peer {
    link: usize,
    origin: Arc<Origin>,
}

fn peer(link: usize, connection: u64, address: &str, key: Option<&str>) -> Peer {
    let address = Some(address.parse().expect("an address"));
    Peer { link, origin: Arc::new(Origin { connection, key: key.map(Arc::from), address, has_ended: false }) }
}

/// A peer without a key.
fn plain(connection: u64) -> Peer {
    peer(0, connection, "10.0.0.5", None)
}

fn name(text: &str) -> Name {
    Name::nearest(text)
}

impl Scene {
    fn new() -> Scene {
        let owners = Owners::default();
        let end = Endpoint::Bind(Address::try_from("tcp://127.0.0.1:1".to_owned()).expect("an address"));
        let agents = [("pi4".to_owned(), vec![name("cellar")])].into();
        let (pattern, shown_as) = (InPattern::Router, ShownAs::default());
        let inlet = Inlet { pattern, end, format: Format::Watchpost, shown_as, curve: None, agents };
        Scene { inlet, links: [owners.for_link(), owners.for_link()], now: Instant::now() }
    }

    fn verdict(&self, peer: &Peer, agent: &str, proof: Proof) -> Verdict {
        self.links[peer.link].admit(&self.inlet, &peer.origin, Claim { agent: &name(agent), proof }, self.now)
    }

    /// Sends a message of a start of the agent; returns why it is refused.
    fn sends(&self, peer: &Peer, agent: &str, boot: &str) -> Option<&'static str> {
        self.verdict(peer, agent, Proof::Start(&name(boot))).refused
    }

    fn sends_backlog(&self, peer: &Peer, agent: &str) -> Option<&'static str> {
        self.verdict(peer, agent, Proof::Backlog).refused
    }

    fn sends_camera(&self, peer: &Peer, agent: &str, camera: &str, is_assigned: bool) -> Option<&'static str> {
        self.verdict(peer, agent, Proof::Camera { camera: &name(camera), is_assigned }).refused
    }

    fn leaves(&self, peer: &Peer) {
        self.links[peer.link].ended(peer.origin.connection);
    }

    /// The number of connections and names that are remembered.
    fn remembered(&self) -> (usize, usize) {
        let state = self.links[0].owners.lock();
        (state.connections.len(), state.agents.len())
    }
}

const IN_USE: Option<&str> = Some("name_in_use");

#[test]
fn key_permits_its_name_and_listed_names() {
    let scene = Scene::new();
    let key = |number| peer(0, number, "10.0.0.5", Some("pi4"));
    assert_eq!(scene.sends(&key(1), "pi4", "b"), None);
    assert_eq!(scene.sends(&key(2), "cellar", "c"), None);
    let intruder = key(3);
    let verdict = scene.verdict(&intruder, "shed", Proof::Start(&name("d")));
    assert_eq!(verdict.refused, Some("name_not_permitted"));
    let (refused, _) = &verdict.reports[0];
    assert_eq!((&*refused.peer, &*refused.other), ("10.0.0.5 (key pi4)", "its key permits pi4, cellar"));
    assert!(refused.text.contains("`agents = { \"pi4\" = [\"shed\"] }`"), "{}", refused.text);
    // Further names of the same connection make no further entries.
    let verdict = scene.verdict(&intruder, "barn", Proof::Backlog);
    assert_eq!(verdict.reports[0].0.agent, name("shed"));
}

#[test]
fn connection_keeps_the_first_name_that_it_used() {
    let scene = Scene::new();
    assert_eq!(scene.sends(&plain(1), "shed", "b"), None);
    assert_eq!(scene.sends(&plain(1), "barn", "b"), Some("second_name"));
    assert_eq!(scene.sends(&plain(1), "shed", "b"), None);
    assert_eq!(scene.sends(&plain(2), "barn", "c"), None, "nobody owns the name");
    // A name that was refused counts, too.
    assert_eq!(scene.sends(&plain(3), "shed", "d"), IN_USE);
    assert_eq!(scene.sends(&plain(3), "yard", "d"), Some("second_name"));
}

#[test]
fn name_belongs_to_a_start_until_its_last_connection_ends() {
    let scene = Scene::new();
    let [first, second, newcomer] =
        [1, 2, 3].map(|number| peer(usize::from(number == 2), number, "10.0.0.5", Some("pi4")));
    assert_eq!(scene.sends(&first, "pi4", "b"), None);
    assert_eq!(scene.sends(&second, "pi4", "b"), None, "the same start on another link");
    assert_eq!(scene.sends(&newcomer, "pi4", "c"), IN_USE);
    scene.leaves(&first);
    assert_eq!(scene.sends(&newcomer, "pi4", "c"), IN_USE);
    scene.leaves(&second);
    assert_eq!(scene.sends(&newcomer, "pi4", "c"), None);
    assert_eq!(scene.sends(&newcomer, "pi4", "d"), None, "a restart on the owner's only connection");
    scene.leaves(&newcomer);
    assert_eq!(scene.remembered(), (0, 0));
}

#[test]
fn known_boot_alone_does_not_join_the_owner() {
    let scene = Scene::new();
    assert_eq!(scene.sends(&plain(1), "shed", "b"), None);
    assert_eq!(scene.sends(&plain(2), "shed", "b"), IN_USE, "on the same link");
    assert_eq!(scene.sends(&peer(1, 3, "10.0.0.5", None), "shed", "b"), IN_USE, "on another link");
    let late = plain(4);
    let late = Peer { origin: Arc::new(Origin { has_ended: true, ..(*late.origin).clone() }), ..late };
    assert_eq!(scene.sends(&late, "shed", "b"), IN_USE, "a late message");
    let (one, two) = (peer(0, 5, "10.0.0.7", Some("pi4")), peer(0, 6, "10.0.0.8", Some("pi4")));
    assert_eq!((scene.sends(&one, "pi4", "k"), scene.sends(&two, "pi4", "k")), (None, None), "the key proves it");
    assert_eq!(scene.sends(&two, "pi4", "copied"), IN_USE, "it cannot take the name along");
    assert_eq!(scene.sends(&one, "pi4", "k"), None);
}

#[test]
fn backlog_does_not_prove_a_start() {
    let scene = Scene::new();
    assert_eq!(scene.sends_backlog(&plain(1), "shed"), None, "the name is free");
    assert_eq!(scene.sends(&plain(2), "shed", "c"), IN_USE);
    assert_eq!(scene.sends(&plain(1), "shed", "b"), None);
    assert_eq!(scene.sends_backlog(&plain(1), "shed"), None);
    assert_eq!(scene.sends_backlog(&peer(1, 3, "10.0.0.5", None), "shed"), IN_USE);
}

#[test]
fn programs_without_starts_share_a_name_by_camera() {
    let scene = Scene::new();
    assert_eq!(scene.sends_camera(&plain(1), "host", "door", false), None);
    assert_eq!(scene.sends_camera(&plain(2), "host", "gate", false), None);
    assert_eq!(scene.sends_camera(&plain(2), "host", "door", false), IN_USE);
    assert_eq!(scene.sends(&plain(3), "host", "b"), IN_USE);
    scene.leaves(&plain(1));
    assert_eq!(scene.sends_camera(&plain(2), "host", "door", false), None);
    scene.leaves(&plain(2));
    assert_eq!(scene.sends(&plain(3), "host", "b"), None);
    assert_eq!(scene.sends_camera(&plain(4), "host", "door", false), IN_USE);
    // Names that the receiver's configuration gives.
    assert_eq!(scene.sends_camera(&plain(5), "host", "roof", true), None);
    assert_eq!(scene.sends_camera(&plain(6), "host", "roof", true), IN_USE);
}

#[test]
fn cameras_beyond_the_limit_are_refused() {
    let scene = Scene::new();
    let (first, second) = (plain(1), plain(2));
    for camera in 0..64 {
        assert_eq!(scene.sends_camera(&first, "host", &format!("camera{camera}"), false), None);
    }
    let camera = name("gate");
    let verdict = scene.verdict(&second, "host", Proof::Camera { camera: &camera, is_assigned: false });
    assert_eq!(verdict.refused, Some("too_many_cameras"));
    assert_eq!(scene.sends_camera(&plain(3), "host", "gate", false), Some("too_many_cameras"));
    assert_eq!(scene.sends_camera(&first, "host", "gate", true), Some("too_many_cameras"), "of its own owner");
    let reports = scene.verdict(&first, "host", Proof::Camera { camera: &name("camera0"), is_assigned: false }).reports;
    assert_eq!(
        reports[0].0.text,
        "refused a camera of 10.0.0.5 as agent host: programs with this name already send 64 cameras, the most of one \
         agent; give some of them another name"
    );
    // A key makes room.
    let owner = peer(0, 4, "10.0.0.9", Some("host"));
    assert_eq!(scene.sends_camera(&owner, "host", "gate", false), None);
    assert_eq!(scene.sends_camera(&second, "host", "gate", false), IN_USE);
    // So does a program that ends.
    scene.leaves(&first);
    assert_eq!(scene.sends_camera(&second, "host", "yard", false), None);
}

#[test]
fn peer_with_a_key_takes_a_name_over() {
    let scene = Scene::new();
    assert_eq!(scene.sends(&plain(1), "pi4", "b"), None);
    let owner = peer(1, 2, "10.0.0.9", Some("pi4"));
    assert_eq!(scene.sends(&owner, "pi4", "c"), None);
    assert_eq!(scene.sends(&plain(1), "pi4", "b"), IN_USE);
    assert_eq!(scene.sends(&plain(1), "pi4", "c"), IN_USE);
    assert_eq!(scene.sends_camera(&plain(3), "pi4", "door", false), IN_USE);
    // In a format without starts, too.
    assert_eq!(scene.sends(&plain(4), "cellar", "b"), None);
    let sender = peer(0, 5, "10.0.0.9", Some("pi4"));
    assert_eq!(scene.sends_camera(&sender, "cellar", "door", false), None);
    assert_eq!(scene.sends(&plain(4), "cellar", "b"), IN_USE);
    // An owner's own frames without a start claim nothing more.
    assert_eq!(scene.sends_camera(&owner, "pi4", "door", false), None);
    assert_eq!(scene.sends(&peer(1, 6, "10.0.0.9", Some("pi4")), "pi4", "c"), None);
}

#[test]
fn late_messages_of_an_ended_connection_claim_nothing() {
    let scene = Scene::new();
    let late = Peer { origin: Arc::new(Origin { has_ended: true, ..(*plain(1).origin).clone() }), link: 0 };
    assert_eq!(scene.sends(&late, "shed", "b"), None, "the name is free");
    assert_eq!(scene.sends(&plain(2), "shed", "c"), None);
    let verdict = scene.verdict(&late, "shed", Proof::Start(&name("b")));
    assert_eq!((verdict.refused, verdict.reports.len()), (IN_USE, 0));
    scene.leaves(&plain(2));
    assert_eq!(scene.remembered(), (0, 0));
}

#[test]
fn contender_is_reported_once_the_owner_sends_again() {
    let mut scene = Scene::new();
    let (owner, newcomer) = (plain(1), peer(0, 2, "10.0.0.6", None));
    let start = |scene: &Scene, peer: &Peer, boot: &str| scene.verdict(peer, "shed", Proof::Start(&name(boot))).reports;
    start(&scene, &owner, "b");
    // The owner may be a half-open connection of the same agent.
    assert_eq!((start(&scene, &newcomer, "c").len(), start(&scene, &newcomer, "c").len()), (0, 0));
    let reports = start(&scene, &owner, "b");
    assert_eq!((reports.len(), reports[0].1), (1, 2));
    assert_eq!(
        reports[0].0.text,
        "two agents are named shed: one at 10.0.0.5 is connected, the other at 10.0.0.6 is refused; \
         give one of them another `name`"
    );
    assert_eq!(start(&scene, &newcomer, "c").len(), 0);
    scene.now += GRACE;
    assert_eq!(start(&scene, &newcomer, "c").len(), 1, "the owner is there but silent");
    assert_eq!(start(&scene, &newcomer, "c").len(), 0);
    scene.leaves(&owner);
    assert_eq!(start(&scene, &newcomer, "c").len(), 0, "it was the same agent");
    assert_eq!(start(&scene, &newcomer, "c").len(), 0);
}

#[test]
fn closing_a_link_frees_its_names() {
    let scene = Scene::new();
    assert_eq!(scene.sends(&plain(1), "shed", "b"), None);
    assert_eq!(scene.sends(&peer(1, 2, "10.0.0.5", None), "barn", "c"), None);
    scene.links[0].all_ended();
    assert_eq!(scene.remembered(), (1, 1));
    assert_eq!(scene.sends(&plain(3), "shed", "d"), None);
}
