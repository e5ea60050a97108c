//! Reads the state of power supply and processor from a Raspberry Pi's firmware, like `vcgencmd get_throttled`.
//!
//! The file `/sys/devices/platform/soc/soc:firmware/get_throttled` has the same value but is not used: reading it logs
//! a kernel warning with a backtrace, and kernels since March 2025 do not have it
//! (github.com/raspberrypi/linux/pull/6697).

use std::ffi::c_char;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Bits of the answer (raspberrypi.com/documentation/computers/os.html, `get_throttled`).
pub(super) const UNDERVOLTAGE: u32 = 1;
/// The frequency is capped, the processor is throttled, or the soft temperature limit is reached.
pub(super) const THROTTLED: u32 = 0b1110;
/// Shift from a bit to the one that says whether the same has happened since boot.
pub(super) const SINCE_BOOT_SHIFT: u32 = 16;

/// The firmware's mailbox devices. The first one accepts only commands; older kernels have only the second.
const MAILBOXES: [&str; 2] = ["vcio_gencmd", "vcio"];

/// A message in words of 32 bits: length, request code, tag, text capacity, answer length, error, text, end tag
/// (github.com/raspberrypi/utils, vcgencmd).
const GET_GENCMD_RESULT: u32 = 0x0003_0080;
const TEXT_OFFSET: usize = 6;
const TEXT_CAPACITY: usize = 1024;
const MESSAGE_WORDS: usize = TEXT_OFFSET + TEXT_CAPACITY / 4 + 1;

mod ioctl {
    nix::ioctl_readwrite!(property, 100, 0, *mut super::c_char);
}

/// The bits. `None` without this firmware, or if the user is not in the group `video`.
pub(super) fn throttled(dev: &Path) -> Option<u32> {
    let mailbox = MAILBOXES.iter().find_map(|mailbox| File::open(dev.join(mailbox)).ok())?;
    bits(&send(&mailbox, "get_throttled")?)
}

/// Sends a command and returns the answer.
fn send(mailbox: &File, command: &str) -> Option<String> {
    let mut message = [0u32; MESSAGE_WORDS];
    message[0] = (MESSAGE_WORDS * 4) as u32;
    message[2] = GET_GENCMD_RESULT;
    message[3] = TEXT_CAPACITY as u32;
    for (word, bytes) in message[TEXT_OFFSET..].iter_mut().zip(command.as_bytes().chunks(4)) {
        let mut whole = [0; 4];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u32::from_ne_bytes(whole);
    }
    // SAFETY: the kernel reads and writes as many bytes as the first word says, which is the message's length.
    unsafe { ioctl::property(mailbox.as_raw_fd(), message.as_mut_ptr().cast()) }.ok()?;
    let succeeded = message[TEXT_OFFSET - 1] == 0;
    let text: Vec<u8> =
        message[TEXT_OFFSET..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    succeeded.then(|| String::from_utf8(text).ok()).flatten()
}

/// Parses `throttled=0x50005`.
fn bits(answer: &str) -> Option<u32> {
    u32::from_str_radix(answer.trim().strip_prefix("throttled=0x")?, 16).ok()
}
