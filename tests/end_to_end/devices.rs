use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use watchpost::cmd::devices::{Devices, Roots};

use crate::harness::Bench;

/// Runs `watchpost devices`, which must succeed; returns its output.
fn printed(bench: &Bench, config: Option<&str>) -> String {
    let output = bench.devices(config);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The paragraph that contains `name`.
fn paragraph<'a>(listing: &'a str, name: &str) -> &'a str {
    listing.split("\n\n").find(|part| part.contains(name)).unwrap_or_else(|| panic!("no {name:?} in\n{listing}"))
}

/// A configuration with these cameras, given by name and further keys.
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
    let listing = printed(&bench, None);
    let jpegs = paragraph(&listing, "Virtual Camera 40, USB bus 0000:01:00.0\n");
    assert!(jpegs.contains("    source = \"/dev/video40\"\n"), "{listing}");
    assert!(jpegs.contains("    MJPG     640x480 30 29.97 25 15 7.5  (used, passed on as it is)"), "{listing}");
    let raw = paragraph(&listing, "Virtual Camera 41");
    assert!(raw.contains("    YUYV     320x240 10  (used, encoded here)"), "{listing}");
    let other = paragraph(&listing, "Virtual Camera 42");
    assert!(other.contains("    UYVY     (cannot be used)\n    but      watchpost needs MJPG or YUYV"), "{listing}");
    assert!(!listing.contains("Virtual Camera 43"), "{listing}");
}

#[test]
fn used_format_is_marked_among_several() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "YUYV 640x480 30 film");
    fs::write(bench.camera(40, "also"), "MJPG").expect("a temporary file");
    let listing = printed(&bench, None);
    let best_first = "    MJPG     640x480 30  (used, passed on as it is)\n    YUYV     640x480 30  (not used)\n";
    assert!(listing.contains(best_first), "{listing}");
}

#[test]
fn non_camera_video_nodes_are_not_listed_as_cameras() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "MJPG 640x480 30 film");
    bench.plug_camera_of(41, "MJPG 640x480 30 film");
    fs::write(bench.camera(40, "metadata"), "").expect("a temporary file");
    fs::write(bench.camera(41, "pipeline"), "").expect("a temporary file");
    let listing =
        printed(&bench, Some(&config(&[("door", "source = \"/dev/video41\""), ("x", "source = \"/dev/video40\"")])));
    assert!(listing.contains("  x     /dev/video40 is not a camera\n") && !listing.contains("source = "), "{listing}");
    assert!(listing.contains("watchpost cannot use them\n             /dev/video41\n"), "{listing}");
    assert!(listing.contains("door  Virtual Camera 41, which offers no format that watchpost can use"), "{listing}");
}

#[test]
fn size_and_rate_ranges_are_listed_as_ranges() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "YUYV 1280x720 30 film");
    fs::write(bench.camera(40, "range"), "").expect("a temporary file");
    let listing = printed(
        &bench,
        Some(&config(&[(
            "door",
            "source = \"/dev/video40\"
size = \"802x602\"",
        )])),
    );
    assert!(listing.contains("YUYV     32x32 to 1280x720 in steps of 2x2, 1 to 30  (used"), "{listing}");
    assert!(listing.contains("door  Virtual Camera 40, YUYV 802x602 25: "), "{listing}");
}

#[test]
fn missing_camera_permission_names_the_group() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "MJPG 640x480 30 film");
    fs::write(bench.camera(40, "denied"), "").expect("a temporary file");
    let listing = printed(&bench, Some(&config(&[("door", "source = \"/dev/video40\"")])));
    let camera = paragraph(&listing, "\"/dev/video40\"");
    assert!(camera.contains("but      no permission to open it: put this user in the group \"video\""), "{listing}");
    assert!(listing.contains("door  a camera, no permission"), "{listing}");
}

#[test]
fn without_cameras_advice_and_configured_names_are_shown() {
    let bench = Bench::new();
    let listing =
        printed(&bench, Some(&config(&[("door", "source = \"/dev/video40\""), ("test", "source = \"pattern\"")])));
    assert!(listing.contains("None. Plug one in; `lsusb`"), "{listing}");
    assert!(
        listing.contains("door  /dev/video40 does not exist\n  test  pattern, which needs no device\n"),
        "{listing}"
    );
}

#[test]
fn invalid_configuration_is_rejected_after_the_list() {
    let bench = Bench::new();
    let output = bench.devices(Some("nmae = \"x\""));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Serial ports"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `name`?"));
}

#[test]
fn cameras_exceeding_bus_bandwidth_cause_a_warning() {
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
fn single_camera_exceeding_usb_2_causes_a_warning() {
    let bench = Bench::new();
    bench.plug_camera_of(40, "YUYV 1280x720 30 film");
    let listing = printed(&bench, Some(&config(&[("door", "source = \"/dev/video40\"\nfps = 30")])));
    assert!(listing.contains("warning: door needs 55.3 MB/s, but one camera gets at most 24.6"), "{listing}");
}

/// Fake /dev and /sys trees. Their cameras have names but are not V4L2 devices.
struct FakeHost(Bench);

impl FakeHost {
    fn new() -> FakeHost {
        let host = FakeHost(Bench::new());
        for dir in ["v4l/by-id", "v4l/by-path", "serial/by-id", "serial/by-path"] {
            fs::create_dir_all(host.dev().join(dir)).expect("a temporary directory");
        }
        host
    }

    fn dev(&self) -> PathBuf {
        self.0.path("dev")
    }

    fn plug(&self, node: &str) {
        fs::write(self.dev().join(node), "").expect("a temporary file");
    }

    /// Creates a link below /dev to a node, as udev does.
    fn link(&self, link: &str, node: &str) {
        let up = "../".repeat(Path::new(link).components().count() - 1);
        fs::create_dir_all(self.dev().join(link).parent().expect("a directory")).expect("a temporary directory");
        symlink(format!("{up}{node}"), self.dev().join(link)).expect("a link");
    }

    /// Creates the sysfs entries of a node: number `index` of its class on the USB device at `socket`.
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

    /// The description of the devices found, with /dev as the root of their paths.
    fn description(&self) -> String {
        let found = Devices::find(&Roots { dev: self.dev(), sys: self.0.path("sys") });
        found.describe().replace(&format!("{}/", self.dev().display()), "/dev/")
    }
}

const WEBCAM: [(&str, &str); 2] = [("idVendor", "046d"), ("idProduct", "0825")];
const CH340: [(&str, &str); 3] = [("idVendor", "1a86"), ("idProduct", "7523"), ("product", "USB Serial")];

#[test]
fn camera_is_named_by_id_unless_ambiguous() {
    let host = FakeHost::new();
    for (node, socket) in [("video0", "1-1.2"), ("video2", "1-1.3")] {
        host.plug(node);
        host.usb("video4linux", node, socket, &WEBCAM, "0");
        host.link(&format!("v4l/by-path/usb-{socket}-video-index0"), node);
    }
    host.link("v4l/by-id/usb-046d_0825-video-index0", "video2");
    host.plug("video3");
    host.usb("video4linux", "video3", "1-1.3", &WEBCAM, "1");
    let listing = host.description();
    assert!(
        listing.contains("source = \"/dev/v4l/by-path/usb-1-1.2-video-index0\"\n    also     /dev/video0\n"),
        "{listing}"
    );
    assert!(
        listing.contains("source = \"/dev/v4l/by-path/usb-1-1.3-video-index0\"\n    also     /dev/video2\n"),
        "{listing}"
    );
    let warning = "warning: two cameras share the name usb-046d_0825-video-index0:\n           use the by-path names";
    assert!(listing.contains(warning), "{listing}");

    host.usb_attribute("1-1.3", "serial", "A1B2");
    let listing = host.description();
    assert!(
        listing.contains("source = \"/dev/v4l/by-id/usb-046d_0825-video-index0\"\n    also     /dev/v4l/by-path/"),
        "{listing}"
    );
    assert!(!listing.contains("warning"), "{listing}");
    assert!(!listing.contains("video3"), "its metadata: {listing}");
}

#[test]
fn usb_3_camera_uses_no_usb_2_bandwidth() {
    let host = FakeHost::new();
    host.plug("video0");
    host.usb("video4linux", "video0", "1-1.2", &WEBCAM, "0");
    assert!(host.description().contains("a camera, USB bus 1\n"));
    host.usb_attribute("1-1.2", "speed", "5000");
    assert!(host.description().contains("a camera\n"));
}

#[test]
fn ports_are_listed_by_stable_name_in_order() {
    let host = FakeHost::new();
    for node in ["ttyUSB10", "ttyUSB9", "ttyACM0", "ttyAMA0", "ttyS0", "ttyS1", "tty1"] {
        host.plug(node);
    }
    host.link("serial0", "ttyS0");
    host.usb("tty", "ttyUSB9", "1-1.2", &CH340, "0");
    host.link("serial/by-id/usb-1a86_USB_Serial-if00-port0", "ttyUSB9");
    host.link("serial/by-path/usb-0:1.2:1.0-port0", "ttyUSB9");
    let listing = host.description();
    let ports: Vec<&str> = listing.lines().filter_map(|line| line.trim().strip_prefix("port   = ")).collect();
    let expected = ["ttyACM0", "ttyAMA0", "serial0", "serial/by-id/usb-1a86_USB_Serial-if00-port0", "ttyUSB10"];
    assert_eq!(ports, expected.map(|name| format!("\"/dev/{name}\"")), "{listing}");
    let adapter = paragraph(&listing, "  USB Serial\n");
    assert!(
        adapter.contains("also     /dev/serial/by-path/usb-0:1.2:1.0-port0\n             /dev/ttyUSB9"),
        "{listing}"
    );
    assert!(!listing.contains("warning"), "{listing}");
}

#[test]
fn ports_sharing_a_name_cause_a_warning() {
    let host = FakeHost::new();
    for (node, socket) in [("ttyUSB0", "1-1.2"), ("ttyUSB1", "1-1.3"), ("ttyUSB2", "1-1.4")] {
        host.plug(node);
        host.usb("tty", node, socket, &CH340, "0");
        host.link(&format!("serial/by-path/{socket}"), node);
    }
    host.link("serial/by-id/usb-1a86_USB_Serial-if00-port0", "ttyUSB2");
    let listing = host.description();
    assert!(listing.contains("port   = \"/dev/serial/by-path/1-1.4\"\n    also     /dev/ttyUSB2\n"), "{listing}");
    assert!(listing.contains("warning: three ports share the name usb-1a86_USB_Serial-if00-port0:"), "{listing}");
    let found = Devices::find(&Roots { dev: host.dev(), sys: host.0.path("sys") });
    let ambiguous = |link: &str| found.ambiguous(&host.dev().join(link));
    let warning = ambiguous("serial/by-id/usb-1a86_USB_Serial-if00-port0").expect("a warning");
    assert_eq!(warning.remedy, "use the by-path names, which stay with the sockets");
    assert_eq!(ambiguous("serial/by-path/1-1.4"), None);
    for (node, socket) in [("ttyUSB0", "1-1.2"), ("ttyUSB1", "1-1.3"), ("ttyUSB2", "1-1.4")] {
        host.link(&format!("watchpost/board-{socket}"), node);
    }
    let listing = host.description();
    let names = "port   = \"/dev/watchpost/board-1-1.4\"\n    also     /dev/serial/by-path/1-1.4\n";
    assert!(listing.contains(names), "the package's rule for udev makes them shorter: {listing}");
    assert!(listing.contains("use the names below /dev/watchpost, which stay with the sockets"), "{listing}");
}

#[test]
fn missing_port_permission_names_the_group() {
    let host = FakeHost::new();
    host.plug("ttyUSB0");
    let port = host.dev().join("ttyUSB0");
    fs::set_permissions(&port, Permissions::from_mode(0o000)).expect("a temporary file");
    let listing = host.description();
    // Root can open everything.
    let may = fs::File::options().read(true).write(true).open(&port).is_ok();
    assert_eq!(listing.contains("put this user in the group \"dialout\""), !may, "{listing}");
}
