//! What libjpeg-turbo says of what the scan passes and refuses.

use std::ffi::CStr;

use turbojpeg::raw;
use watchpost::jpeg;

/// What libjpeg says of pictures that it makes something of none the less (JWRN in its jerror.h).
const WARNINGS: [&str; 4] =
    ["Corrupt JPEG data: ", "Unknown Adobe color transform ", "Warning: unknown JFIF ", "Invalid SOS parameters "];

/// Larger pictures than the tests and the fuzzer make are those of a damaged header.
const MOST_PIXELS: usize = 1 << 22;

/// What the decoder made of a JPEG.
pub enum Decoded {
    /// A picture of this size.
    Well { width: u32, height: u32 },
    /// The same, with a warning.
    Warned { width: u32, height: u32 },
    /// Nothing, because of this.
    Not(String),
}

/// Whether the scan passes it; panics when the decoder then does not.
pub fn on_bytes(bytes: &[u8]) -> bool {
    let Ok(sound) = jpeg::check(bytes) else { return false };
    assert!(bytes.starts_with(sound.bytes));
    let size = (sound.width, sound.height);
    assert_eq!(jpeg::size(sound.bytes), Some(size));
    for jpeg in [sound.bytes, &sound.complete()] {
        match decode(jpeg) {
            Decoded::Well { width, height } | Decoded::Warned { width, height } => assert_eq!((width, height), size),
            Decoded::Not(text) => panic!("it passes, and is not decoded: {text}"),
        }
    }
    true
}

/// Not by turbojpeg's own functions, which call a warning an error. libjpeg-turbo has a code for either, but it is the
/// warning's when an error comes after one, while the text is then the error's.
pub fn decode(jpeg: &[u8]) -> Decoded {
    let (start, length) = (jpeg.as_ptr(), jpeg.len() as _);
    // SAFETY: The handle is used for nothing else, as tables outlast a picture in it. The JPEG is as long as is said, and
    // there are three bytes for each pixel of the size that the decoder found. The text is copied before the next call.
    let (result, width, height, text) = unsafe {
        let handle = raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as i32);
        raw::tj3DecompressHeader(handle, start, length);
        let size = [raw::TJPARAM_TJPARAM_JPEGWIDTH, raw::TJPARAM_TJPARAM_JPEGHEIGHT];
        let [width, height] = size.map(|parameter| raw::tj3Get(handle, parameter as i32).max(0));
        let count = width as usize * height as usize;
        let result = (1..=MOST_PIXELS).contains(&count).then(|| {
            let mut pixels = vec![0; count * 3];
            let format = raw::TJPF_TJPF_RGB;
            raw::tj3Decompress8(handle, start, length, pixels.as_mut_ptr(), width * 3, format)
        });
        let text = CStr::from_ptr(raw::tj3GetErrorStr(handle)).to_string_lossy().into_owned();
        raw::tj3Destroy(handle);
        (result, width as u32, height as u32, text)
    };
    match result {
        Some(0) => Decoded::Well { width, height },
        Some(_) if WARNINGS.iter().any(|warning| text.starts_with(warning)) => Decoded::Warned { width, height },
        _ => Decoded::Not(format!("{width}x{height}: {text}")),
    }
}
