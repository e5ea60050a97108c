//! Compares our check of a JPEG with libjpeg-turbo's decoder.

use std::ffi::CStr;

use turbojpeg::raw;
use watchpost::jpeg;

/// How libjpeg's warnings about pictures that it still decodes start (JWRN in its jerror.h).
const WARNINGS: [&str; 4] =
    ["Corrupt JPEG data: ", "Unknown Adobe color transform ", "Warning: unknown JFIF ", "Invalid SOS parameters "];

/// The tests and the fuzzer make no larger pictures, so a larger size comes from a damaged header.
const MAX_PIXELS: usize = 1 << 22;

/// The decoder's result for a JPEG.
pub enum Decoded {
    /// A picture of this size.
    Clean { width: u32, height: u32 },
    /// A picture of this size, with a warning.
    Warned { width: u32, height: u32 },
    /// No picture, for this reason.
    Failed(String),
}

/// Returns whether our check passes the bytes; panics if the decoder then fails.
pub fn on_bytes(bytes: &[u8]) -> bool {
    let Ok(sound) = jpeg::check(bytes) else { return false };
    assert!(bytes.starts_with(sound.bytes));
    let size = (sound.width, sound.height);
    assert_eq!(jpeg::size(sound.bytes), Some(size));
    for jpeg in [sound.bytes, &sound.complete()] {
        match decode(jpeg) {
            Decoded::Clean { width, height } | Decoded::Warned { width, height } => assert_eq!((width, height), size),
            Decoded::Failed(text) => panic!("the check passes it, but the decoder fails: {text}"),
        }
    }
    true
}

/// Decodes without turbojpeg's safe functions, which report warnings as errors. libjpeg-turbo's error code
/// distinguishes them, but keeps the warning's code when an error follows a warning. The text is then the error's.
pub fn decode(jpeg: &[u8]) -> Decoded {
    let (start, length) = (jpeg.as_ptr(), jpeg.len() as _);
    // SAFETY: The handle serves one picture only, because tables outlive a picture in it. `length` is the JPEG's
    // length, and `pixels` has three bytes per pixel of the size that the decoder found. The text is copied before the
    // next call.
    let (result, width, height, text) = unsafe {
        let handle = raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as i32);
        raw::tj3DecompressHeader(handle, start, length);
        let size = [raw::TJPARAM_TJPARAM_JPEGWIDTH, raw::TJPARAM_TJPARAM_JPEGHEIGHT];
        let [width, height] = size.map(|parameter| raw::tj3Get(handle, parameter as i32).max(0));
        let count = width as usize * height as usize;
        let result = (1..=MAX_PIXELS).contains(&count).then(|| {
            let mut pixels = vec![0; count * 3];
            let format = raw::TJPF_TJPF_RGB;
            raw::tj3Decompress8(handle, start, length, pixels.as_mut_ptr(), width * 3, format)
        });
        let text = CStr::from_ptr(raw::tj3GetErrorStr(handle)).to_string_lossy().into_owned();
        raw::tj3Destroy(handle);
        (result, width as u32, height as u32, text)
    };
    match result {
        Some(0) => Decoded::Clean { width, height },
        Some(_) if WARNINGS.iter().any(|warning| text.starts_with(warning)) => Decoded::Warned { width, height },
        _ => Decoded::Failed(format!("{width}x{height}: {text}")),
    }
}
