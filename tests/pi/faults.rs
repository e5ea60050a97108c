//! An agent keeps working when parts of its machine fail.

use crate::{Scene, eventually};

pub fn frames_and_readings_arrive(scene: &mut Scene) {
    let Scene { boards: [one, two], hub, .. } = scene;
    // A line is lost while a port is opened, as it is again after ten silent seconds.
    eventually("readings of both boards", || {
        one.write_line("t-21-h-60");
        two.write_line("mq2-312-light-540");
        ["temperature", "humidity", "mq2", "light"].iter().all(|quantity| hub.kept(quantity).0 == 1).then_some(())
    });
    hub.wait_for_frame("door");
    hub.wait_for_frame("window");
}

/// Sets the kernel's synchronisation state by hand, because the machine reaches no time server.
pub fn clock_state_is_reported(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let is_synchronised = |wanted: bool| {
        let what = format!("the clock is synchronised: {wanted}");
        hub.wait_for(&what, |m| m["type"] == "status" && m["machine"]["synchronised"] == wanted);
    };
    is_synchronised(false);
    pi.sh("sudo adjtimex --status 0 --esterror 0 --maxerror 0");
    is_synchronised(true);
    // Restores the state; other tests show that the agent notices.
    pi.sh("sudo adjtimex --status 64");
}

pub fn unplugged_board_comes_back(scene: &mut Scene) {
    let Scene { pi, boards: [one, two], hub } = scene;
    pi.unplug(one);
    hub.wait_for_state("ports", "one", false);
    // The history stores an unknown label when it comes for the second time.
    two.write_line("plug-1");
    two.write_line("plug-1");
    hub.keeps("plug", 1);
    pi.plug_in(one);
    eventually("a reading of the board", || {
        one.write_line("plug-2");
        (hub.kept("plug").0 == 2).then_some(())
    });
    // The package's udev rule names devices plugged in from then on after their USB socket.
    let named = pi.sh("for name in /dev/watchpost/board-*; do readlink -f $name; done");
    assert!(named.starts_with("/dev/ttyUSB"), "{named}");
}

/// The camera must reopen; being down in between is optional.
pub fn disconnected_camera_comes_back(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let opened = |message: &serde_json::Value| {
        let door =
            message["cameras"].as_array()?.iter().find(|camera| camera["name"] == "door" && camera["up"] == true)?;
        door["counts"]["opened"].as_u64()
    };
    let before = opened(&hub.wait_for("door is up", |m| opened(m).is_some()));
    pi.sh("sudo v4l2-ctl --device /dev/video0 --set-ctrl disconnect=1");
    hub.wait_for("door reopened", |m| opened(m) > before);
    hub.wait_for_frame("door");
    hub.wait_for_frame("window");
}

/// Uses vivid's controls for broken frames and failing calls.
pub fn failing_camera_comes_back(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let known = pi.sh("sudo v4l2-ctl --device /dev/video1 --list-ctrls");
    // The third takes effect after the fourth, which makes the agent reopen the camera.
    for call in ["v4l2_buf_flag", "vidioc_qbuf", "vidioc_streamon", "fatal_streaming"] {
        let button = format!("inject_{call}_error");
        assert!(known.contains(&button), "{button} is not in\n{known}");
        pi.sh(&format!("sudo v4l2-ctl --device /dev/video1 --set-ctrl {button}=1"));
        hub.wait_for_frame("door");
        hub.wait_for_frame("window");
    }
}

pub fn killed_agent_is_restarted(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let boot = hub.wait_for_frame("door")["boot"].clone();
    pi.sh("sudo systemctl kill --signal KILL watchpost");
    hub.wait_for("a frame of the next start", |m| m["type"] == "frame" && m["boot"] != boot);
}

pub fn reload_adds_a_camera(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let of_door = |message: &serde_json::Value| {
        let door =
            message["cameras"].as_array()?.iter().find(|camera| camera["name"] == "door" && camera["up"] == true)?;
        Some((message["boot"].clone(), door["counts"]["opened"].clone()))
    };
    let status = || hub.wait_for("door is up", |m| m["type"] == "status" && of_door(m).is_some());
    let before = of_door(&status());
    pi.sh_with(
        "sudo tee --append /etc/watchpost/watchpost.toml >/dev/null && sudo systemctl reload watchpost",
        "[[camera]]\nname = \"test\"\nsource = \"pattern\"\nsize = \"320x240\"\nfps = 2\n",
    );
    hub.wait_for_frame("test");
    assert_eq!(of_door(&status()), before, "door was reopened");
}

/// The agent keeps its current configuration.
pub fn invalid_file_is_refused(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let boot = hub.wait_for_frame("door")["boot"].clone();
    pi.sh("sudo cp -p /etc/watchpost/watchpost.toml /tmp/good.toml");
    pi.sh("echo nonsense | sudo tee --append /etc/watchpost/watchpost.toml; sudo systemctl reload watchpost");
    eventually("the mistake in the log", || pi.log().contains("nonsense").then_some(()));
    pi.sh("sudo cp -p /tmp/good.toml /etc/watchpost/watchpost.toml");
    assert_eq!(hub.wait_for_frame("door")["boot"], boot);
}

/// Shortens systemd's timeouts, and lowers the start limit that the unit must have disabled.
const IMPATIENT: &str = "/etc/systemd/system/watchpost.service.d/impatient.conf";

/// Stalls one thread: its system calls wait for a tracer that is stopped itself.
pub fn stalled_thread_restarts_the_agent(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let sooner = "[Unit]\nStartLimitBurst=2\n[Service]\nWatchdogSec=5\nRestartSec=0\n";
    pi.sh_with(&format!("sudo install -D /dev/stdin {IMPATIENT}"), sooner);
    let before = hub.wait_for_frame("door")["boot"].clone();
    pi.sh("sudo systemctl daemon-reload && sudo systemctl restart watchpost");
    let boot = hub.wait_for("a frame", |m| m["type"] == "frame" && m["boot"] != before)["boot"].clone();
    pi.sh("pid=$(systemctl show --property MainPID --value watchpost)
        thread=$(grep --files-with-matches spool /proc/$pid/task/*/comm | head -n 1 | cut -d / -f 5)
        sudo strace -o /dev/null -p $thread </dev/null >/dev/null 2>&1 &
        for _ in {1..200}; do
            grep --quiet 'TracerPid:[[:space:]]*0' /proc/$pid/task/$thread/status || exec sudo pkill -STOP -x strace
        done; false");
    eventually("the watchdog timeout in the log", || pi.log().contains("Watchdog timeout").then_some(()));
    // A traced process cannot exit before its tracer allows it.
    pi.sh("sudo pkill -KILL -x strace");
    hub.wait_for("a frame of the next start", |m| m["type"] == "frame" && m["boot"] != boot);
}

/// Kills the agent more often than the start limit of two in ten seconds.
pub fn often_killed_agent_is_restarted(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    pi.sh("restarts() { systemctl show --property NRestarts --value watchpost; }
        last=$(($(restarts) + 3))
        for _ in {1..100}; do
            [ $(restarts) -lt $last ] || exit 0
            sudo systemctl kill --signal KILL watchpost || :
        done; false");
    hub.wait_for_frame("door");
    // The upgrade, which follows, reloads systemd's files and so applies this.
    pi.sh(&format!("sudo rm {IMPATIENT}"));
}
