use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use watchpost::cmd::devices::{Devices, Roots};

use crate::harness::Bench;

/// What the command prints; it has to be content.
fn printed(bench: &Bench, config: Option<&str>) -> String {
    let output = bench.devices(config);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The paragraph with the camera or port of this name.
fn paragraph<'a>(said: &'a str, name: &str) -> &'a str {
    said.split("\n\n").find(|part| part.contains(name)).unwrap_or_else(|| panic!("no {name:?} in\n{said}"))
}

/// A configuration of cameras, each with a source and more.
fn config(cameras: &[(&str, &str)]) -> String {
    let tables = cameras.iter().map(|(name, rest)| format!("[[camera]]\nname = \"{name}\"\n{rest}\n"));
    tables.collect::<String>() + "[[link]]\npattern = \"pair\"\nbind = \"ipc:///tmp/nobody\"\n"
}

#[test]
fn cameras_are_listed_with_formats_sizes_and_rates() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "MJPG 640x480 15 film 30 7.5 25 29.97");
    bench.plug_camera_of(41, "YUYV 320x240 10 film");
    bench.plug_camera_of(42, "UYVY 320x240 10 film");
    let said = printed(&bench, None);
    let jpegs = paragraph(&said, "Virtual Camera 40, USB bus 0000:01:00.0\n");
    assert!(jpegs.contains("    source = \"/dev/video40\"\n"), "{said}");
    assert!(jpegs.contains("    MJPG     640x480 30 29.97 25 15 7.5  (used, passed on as it is)"), "{said}");
    let raw = paragraph(&said, "Virtual Camera 41");
    assert!(raw.contains("    YUYV     320x240 10  (used, encoded here)"), "{said}");
    let other = paragraph(&said, "Virtual Camera 42");
    assert!(other.contains("    UYVY     (cannot be used)\n    but      watchpost needs MJPG or YUYV"), "{said}");
    assert!(!said.contains("Virtual Camera 43"), "{said}");
}

#[test]
fn of_several_formats_the_one_that_is_used_is_marked() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "YUYV 640x480 30 film");
    fs::write(bench.camera(40, "also"), "MJPG").expect("a temporary file");
    let said = printed(&bench, None);
    let best_first = "    MJPG     640x480 30  (used, passed on as it is)\n    YUYV     640x480 30  (not used)\n";
    assert!(said.contains(best_first), "{said}");
}

#[test]
fn nodes_that_are_no_cameras_are_not_taken_for_some() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "MJPG 640x480 30 film");
    bench.plug_camera_of(41, "MJPG 640x480 30 film");
    fs::write(bench.camera(40, "metadata"), "").expect("a temporary file");
    fs::write(bench.camera(41, "pipeline"), "").expect("a temporary file");
    let said =
        printed(&bench, Some(&config(&[("door", "source = \"/dev/video41\""), ("x", "source = \"/dev/video40\"")])));
    assert!(said.contains("  x     /dev/video40 is not a camera\n") && !said.contains("source = "), "{said}");
    assert!(said.contains("watchpost cannot use them\n             /dev/video41\n"), "{said}");
    assert!(said.contains("door  Virtual Camera 41, which offers no format that watchpost can use"), "{said}");
}

#[test]
fn ranges_of_sizes_and_rates_are_told_as_such() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "YUYV 1280x720 30 film");
    fs::write(bench.camera(40, "range"), "").expect("a temporary file");
    let said = printed(
        &bench,
        Some(&config(&[(
            "door",
            "source = \"/dev/video40\"
size = \"802x602\"",
        )])),
    );
    assert!(said.contains("YUYV     32x32 to 1280x720 in steps of 2x2, 1 to 30  (used"), "{said}");
    assert!(said.contains("door  Virtual Camera 40, YUYV 802x602 25: "), "{said}");
}

#[test]
fn who_may_not_open_a_camera_is_told_the_group() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "MJPG 640x480 30 film");
    fs::write(bench.camera(40, "denied"), "").expect("a temporary file");
    let said = printed(&bench, Some(&config(&[("door", "source = \"/dev/video40\"")])));
    let camera = paragraph(&said, "\"/dev/video40\"");
    assert!(camera.contains("but      no permission to open it: put this user in the group \"video\""), "{said}");
    assert!(said.contains("door  a camera, no permission"), "{said}");
}

#[test]
fn without_cameras_it_says_what_to_look_for_and_names_those_wished_for() {
    let bench = Bench::new();
    let said =
        printed(&bench, Some(&config(&[("door", "source = \"/dev/video40\""), ("test", "source = \"pattern\"")])));
    assert!(said.contains("None. Plug one in; `lsusb`"), "{said}");
    assert!(said.contains("door  /dev/video40 does not exist\n  test  pattern, which needs no device\n"), "{said}");
}

#[test]
fn a_wrong_configuration_is_refused_after_the_list() {
    let bench = Bench::new();
    let output = bench.devices(Some("nmae = \"x\""));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Serial ports"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `name`?"));
}

#[test]
fn cameras_that_do_not_fit_on_their_bus_are_warned_about() {
    let bench = Bench::new();
    let names = ["door", "window", "yard"];
    let sources: Vec<_> = (40..43)
        .map(|node| {
            bench.plug_camera_of(node, "YUYV 640x480 30 film 10");
            format!("source = \"/dev/video{node}\"\nfps = ")
        })
        .collect();
    let at = |fps: u32| {
        let rest: Vec<_> = sources.iter().map(|source| format!("{source}{fps}")).collect();
        let cameras: Vec<_> = names.into_iter().zip(rest.iter().map(String::as_str)).collect();
        printed(&bench, Some(&config(&cameras)))
    };
    let fast = at(30);
    assert!(fast.contains("  yard    Virtual Camera 42, YUYV 640x480 30: 18.4 MB/s\n"), "{fast}");
    let warning = "warning: door, window and yard need 55.3 MB/s of USB bus 0000:01:00.0, which carries at most 48:";
    assert!(fast.contains(warning), "{fast}");
    let slow = at(10);
    assert!(slow.contains("door, window and yard share USB bus 0000:01:00.0."), "{slow}");
    assert!(!slow.contains("warning"), "{slow}");
}

#[test]
fn one_camera_that_is_too_much_for_usb_2_is_warned_about() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "YUYV 1280x720 30 film");
    let said = printed(&bench, Some(&config(&[("door", "source = \"/dev/video40\"\nfps = 30")])));
    assert!(said.contains("warning: door needs 55.3 MB/s, but one camera gets at most 24.6"), "{said}");
}

/// A machine made of files. Its cameras are no V4L2 devices, but have names.
struct Machine(Bench);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(Bench::new());
        for dir in ["v4l/by-id", "v4l/by-path", "serial/by-id", "serial/by-path"] {
            fs::create_dir_all(machine.dev().join(dir)).expect("a temporary directory");
        }
        machine
    }

    fn dev(&self) -> PathBuf {
        self.0.path("dev")
    }

    fn plug(&self, node: &str) {
        fs::write(self.dev().join(node), "").expect("a temporary file");
    }

    /// A link below /dev to a node, as udev makes it.
    fn link(&self, link: &str, node: &str) {
        let up = "../".repeat(Path::new(link).components().count() - 1);
        fs::create_dir_all(self.dev().join(link).parent().expect("a directory")).expect("a temporary directory");
        symlink(format!("{up}{node}"), self.dev().join(link)).expect("a link");
    }

    /// What sysfs says of the index-th node of its kind of the USB device at this socket.
    fn usb(&self, class: &str, node: &str, socket: &str, attributes: &[(&str, &str)], index: &str) {
        let interface = self.0.path("sys/devices").join(socket).join("1.0");
        fs::create_dir_all(&interface).expect("a temporary directory");
        for (name, value) in [("busnum", "1"), ("speed", "480")].iter().chain(attributes) {
            self.usb_attribute(socket, name, value);
        }
        fs::write(interface.join("bInterfaceNumber"), "00\n").expect("a temporary file");
        let class = self.0.path("sys/class").join(class).join(node);
        fs::create_dir_all(&class).expect("a temporary directory");
        fs::write(class.join("index"), format!("{index}\n")).expect("a temporary file");
        symlink(interface, class.join("device")).expect("a link");
    }

    fn usb_attribute(&self, socket: &str, name: &str, value: &str) {
        let path = self.0.path("sys/devices").join(socket).join(name);
        fs::write(path, format!("{value}\n")).expect("a temporary file");
    }

    /// What was found, with paths as they would be below the real root.
    fn described(&self) -> String {
        let found = Devices::find(&Roots { dev: self.dev(), sys: self.0.path("sys") });
        found.describe().replace(&format!("{}/", self.dev().display()), "/dev/")
    }
}

const WEBCAM: [(&str, &str); 2] = [("idVendor", "046d"), ("idProduct", "0825")];
const CH340: [(&str, &str); 3] = [("idVendor", "1a86"), ("idProduct", "7523"), ("product", "USB Serial")];

#[test]
fn a_camera_is_known_by_its_id_unless_another_has_the_same() {
    let machine = Machine::new();
    for (node, socket) in [("video0", "1-1.2"), ("video2", "1-1.3")] {
        machine.plug(node);
        machine.usb("video4linux", node, socket, &WEBCAM, "0");
        machine.link(&format!("v4l/by-path/usb-{socket}-video-index0"), node);
    }
    machine.link("v4l/by-id/usb-046d_0825-video-index0", "video2");
    machine.plug("video3");
    machine.usb("video4linux", "video3", "1-1.3", &WEBCAM, "1");
    let said = machine.described();
    assert!(
        said.contains("source = \"/dev/v4l/by-path/usb-1-1.2-video-index0\"\n    also     /dev/video0\n"),
        "{said}"
    );
    assert!(
        said.contains("source = \"/dev/v4l/by-path/usb-1-1.3-video-index0\"\n    also     /dev/video2\n"),
        "{said}"
    );
    let warning = "warning: two cameras share the name usb-046d_0825-video-index0:\n           use the by-path names";
    assert!(said.contains(warning), "{said}");

    machine.usb_attribute("1-1.3", "serial", "A1B2");
    let said = machine.described();
    assert!(
        said.contains("source = \"/dev/v4l/by-id/usb-046d_0825-video-index0\"\n    also     /dev/v4l/by-path/"),
        "{said}"
    );
    assert!(!said.contains("warning"), "{said}");
    assert!(!said.contains("video3"), "its metadata: {said}");
}

#[test]
fn a_camera_on_usb_3_takes_nothing_of_a_usb_2_bus() {
    let machine = Machine::new();
    machine.plug("video0");
    machine.usb("video4linux", "video0", "1-1.2", &WEBCAM, "0");
    assert!(machine.described().contains("a camera, USB bus 1\n"));
    machine.usb_attribute("1-1.2", "speed", "5000");
    assert!(machine.described().contains("a camera\n"));
}

#[test]
fn ports_are_listed_by_their_links_and_in_order() {
    let machine = Machine::new();
    for node in ["ttyUSB10", "ttyUSB9", "ttyACM0", "ttyAMA0", "ttyS0", "ttyS1", "tty1"] {
        machine.plug(node);
    }
    machine.link("serial0", "ttyS0");
    machine.usb("tty", "ttyUSB9", "1-1.2", &CH340, "0");
    machine.link("serial/by-id/usb-1a86_USB_Serial-if00-port0", "ttyUSB9");
    machine.link("serial/by-path/usb-0:1.2:1.0-port0", "ttyUSB9");
    let said = machine.described();
    let ports: Vec<&str> = said.lines().filter_map(|line| line.trim().strip_prefix("port   = ")).collect();
    let expected = ["ttyACM0", "ttyAMA0", "serial0", "serial/by-id/usb-1a86_USB_Serial-if00-port0", "ttyUSB10"];
    assert_eq!(ports, expected.map(|name| format!("\"/dev/{name}\"")), "{said}");
    let adapter = paragraph(&said, "  USB Serial\n");
    assert!(adapter.contains("also     /dev/serial/by-path/usb-0:1.2:1.0-port0\n             /dev/ttyUSB9"), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn ports_that_share_a_name_are_warned_about() {
    let machine = Machine::new();
    for (node, socket) in [("ttyUSB0", "1-1.2"), ("ttyUSB1", "1-1.3"), ("ttyUSB2", "1-1.4")] {
        machine.plug(node);
        machine.usb("tty", node, socket, &CH340, "0");
        machine.link(&format!("serial/by-path/{socket}"), node);
    }
    machine.link("serial/by-id/usb-1a86_USB_Serial-if00-port0", "ttyUSB2");
    let said = machine.described();
    assert!(said.contains("port   = \"/dev/serial/by-path/1-1.4\"\n    also     /dev/ttyUSB2\n"), "{said}");
    assert!(said.contains("warning: three ports share the name usb-1a86_USB_Serial-if00-port0:"), "{said}");
    let found = Devices::find(&Roots { dev: machine.dev(), sys: machine.0.path("sys") });
    let ambiguous = |link: &str| found.ambiguous(&machine.dev().join(link));
    let warning = ambiguous("serial/by-id/usb-1a86_USB_Serial-if00-port0").expect("a warning");
    assert_eq!(warning.remedy, "use the by-path names, which stay with the sockets");
    assert_eq!(ambiguous("serial/by-path/1-1.4"), None);
    for (node, socket) in [("ttyUSB0", "1-1.2"), ("ttyUSB1", "1-1.3"), ("ttyUSB2", "1-1.4")] {
        machine.link(&format!("watchpost/board-{socket}"), node);
    }
    let said = machine.described();
    let names = "port   = \"/dev/watchpost/board-1-1.4\"\n    also     /dev/serial/by-path/1-1.4\n";
    assert!(said.contains(names), "the package's rule for udev makes them shorter: {said}");
    assert!(said.contains("use the names below /dev/watchpost, which stay with the sockets"), "{said}");
}

#[test]
fn who_may_not_open_a_port_is_told_the_group() {
    let machine = Machine::new();
    machine.plug("ttyUSB0");
    let port = machine.dev().join("ttyUSB0");
    fs::set_permissions(&port, Permissions::from_mode(0o000)).expect("a temporary file");
    let said = machine.described();
    // The administrator may open everything.
    let may = fs::File::options().read(true).write(true).open(&port).is_ok();
    assert_eq!(said.contains("put this user in the group \"dialout\""), !may, "{said}");
}
