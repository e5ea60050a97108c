//! What becomes of an agent's work when something of its machine fails.

use crate::{Scene, eventually};

pub fn everything_arrives(scene: &mut Scene) {
    let Scene { boards: [one, two], hub, .. } = scene;
    one.says("t-21-h-60");
    two.says("mq2-312-light-540");
    for (quantity, readings) in [("temperature", 1), ("humidity", 1), ("mq2", 1), ("light", 1)] {
        hub.keeps(quantity, readings);
    }
    hub.hears_frame("door");
    hub.hears_frame("window");
}

/// There is no other clock in this machine's reach, so the kernel is told by hand.
pub fn the_clock_is_told(scene: &mut Scene) {
    let Scene { pi, boards: [one, _], hub } = scene;
    let mut says = |value: u32, is_synchronised: bool| {
        let arrives = |m: &serde_json::Value| {
            m["batches"].as_array().is_some_and(|batches| {
                batches.iter().any(|batch| {
                    batch["synchronised"].as_bool().unwrap_or(true) == is_synchronised
                        && batch["values"][0]["value"] == f64::from(value)
                })
            })
        };
        // The flag follows within a second, and the agent looks once a second.
        eventually("the readings' clock", || {
            one.says(&format!("clock-{value}"));
            hub.hears_soon(arrives)
        });
    };
    says(1, false);
    pi.sh("sudo adjtimex --status 0 --esterror 0 --maxerror 0");
    says(2, true);
    pi.sh("sudo adjtimex --status 64");
    says(3, false);
}

pub fn a_board_is_plugged_in_again(scene: &mut Scene) {
    let Scene { pi, boards: [one, two], hub } = scene;
    pi.unplug(one);
    hub.hears_state("ports", "one", false);
    two.says("plug-1");
    hub.keeps("plug", 1);
    pi.plug_in(one);
    eventually("the board is heard again", || {
        one.says("plug-2");
        (hub.kept("plug").0 == 2).then_some(())
    });
}

pub fn a_camera_is_disconnected(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    pi.sh("v4l2-ctl --device /dev/video0 --set-ctrl disconnect=1");
    hub.hears_state("cameras", "door", false);
    hub.hears_frame("window");
    hub.hears_state("cameras", "door", true);
    hub.hears_frame("door");
}

/// vivid's other buttons: frames that it calls broken, and calls that fail.
pub fn a_camera_fails(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    for button in ["inject_vidioc_dqbuf_error", "inject_v4l2_buf_flag_error", "inject_fatal_streaming_error"] {
        let known = pi.sh("v4l2-ctl --device /dev/video1 --list-ctrls");
        assert!(known.contains(button), "{button} is none of\n{known}");
        pi.sh(&format!("v4l2-ctl --device /dev/video1 --set-ctrl {button}=1"));
        hub.hears_frame("door");
        hub.hears_frame("window");
    }
}

pub fn the_agent_is_killed(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let boot = hub.hears_frame("door")["boot"].clone();
    pi.sh("sudo systemctl kill --signal KILL watchpost");
    hub.hears("a frame of the next start", |m| m["type"] == "frame" && m["boot"] != boot);
}

/// More often than systemd's usual limit, five times in ten seconds.
pub fn the_agent_is_killed_often(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    for _ in 0..6 {
        pi.sh("sudo systemctl kill --signal KILL watchpost; until systemctl --quiet is-active watchpost; do sleep 0.1; done");
    }
    hub.hears_frame("door");
}
