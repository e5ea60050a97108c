//! Makes this machine's key pair and says where it belongs.

use std::path::Path;

use anyhow::Result;

use crate::certificate::KeyPair;
use crate::name::Name;

/// Writes `NAME.key` and `NAME.key_secret` into the directory and gives what a person has to know.
///
/// # Errors
/// When one of them is there already, or cannot be written.
pub fn run(name: &Name, dir: &Path) -> Result<String> {
    let pair = KeyPair::generate()?;
    let (secret, public) = pair.write(dir, name)?;
    let (secret, public, key) = (secret.display(), public.display(), pair.public);
    Ok(format!(
        r#"{secret}   stays here; whoever runs watchpost must own it
{public}          is for the other machines

Where a link of this machine binds, and the .key files of those that may come are in a directory:

    [link.curve]
    secret_key_file = "{secret}"
    allowed_keys_dir = "/etc/watchpost/allowed"

Where a link of this machine connects, and the other's .key file was copied here:

    [link.curve]
    secret_key_file = "{secret}"
    server_key = "/etc/watchpost/OTHER.key"

Where another machine connects to this one, its link can have the key itself instead of a file:

    server_key = "{key}"
"#
    ))
}
