//! What the firmware of a Raspberry Pi says of its power supply and of its processor, as `vcgencmd get_throttled` says it.
//!
//! The same is said in `/sys/devices/platform/soc/soc:firmware/get_throttled`, which is left alone: reading it writes a
//! warning with a backtrace into the kernel's log, and kernels since March 2025 do not have it
//! (github.com/raspberrypi/linux/pull/6697).

use std::ffi::c_char;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// The bits of the answer (raspberrypi.com/documentation/computers/os.html, `get_throttled`).
pub(super) const UNDERVOLTAGE: u32 = 1;
/// The frequency is capped, the processor is throttled, the soft limit of its temperature is reached.
pub(super) const THROTTLED: u32 = 0b1110;
/// So much higher are the bits of what was so at some time since the start.
pub(super) const SINCE_BOOT_SHIFT: u32 = 16;

/// The mailbox in which the firmware has its letters, for its commands alone and, of older kernels, for everything.
const MAILBOXES: [&str; 2] = ["vcio_gencmd", "vcio"];

/// A letter, in words of 32 bits: how long it is, that it is a request, the tag, how much room there is for the text, how
/// long the answer is, its error, the text, and an end (github.com/raspberrypi/utils, vcgencmd).
const GET_GENCMD_RESULT: u32 = 0x0003_0080;
const TEXT_OFFSET: usize = 6;
const TEXT_CAPACITY: usize = 1024;
const MESSAGE_WORDS: usize = TEXT_OFFSET + TEXT_CAPACITY / 4 + 1;

mod ioctl {
    nix::ioctl_readwrite!(property, 100, 0, *mut super::c_char);
}

/// The bits; none where there is no such firmware, or this user may not ask it, for which it has to be in the group video.
pub(super) fn throttled(dev: &Path) -> Option<u32> {
    let mailbox = MAILBOXES.iter().find_map(|mailbox| File::open(dev.join(mailbox)).ok())?;
    bits(&send(&mailbox, "get_throttled")?)
}

/// Sends a command, and gives the answer.
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
    // SAFETY: the kernel reads and writes as many bytes as the letter's first word says, and so many it has.
    unsafe { ioctl::property(mailbox.as_raw_fd(), message.as_mut_ptr().cast()) }.ok()?;
    let succeeded = message[TEXT_OFFSET - 1] == 0;
    let text: Vec<u8> =
        message[TEXT_OFFSET..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    succeeded.then(|| String::from_utf8(text).ok()).flatten()
}

/// `throttled=0x50005`, in hexadecimal digits.
fn bits(answer: &str) -> Option<u32> {
    u32::from_str_radix(answer.trim().strip_prefix("throttled=0x")?, 16).ok()
}
