//! Key and token files: secrets that only their owner may read, CURVE key pairs, and the page's tokens. Knows no socket
//! and no page.

pub mod secret;
pub mod certificate;
pub mod token;
