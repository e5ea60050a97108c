//! Makes this machine's key pair, or the tokens of its page, and says where they belong.

use std::path::Path;

use anyhow::Result;

use crate::auth::certificate::KeyPair;
use crate::auth::token;
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

/// Writes `web.token` and `web-view.token` into the directory and gives what a person has to know.
///
/// # Errors
/// When one of them is there already, or cannot be written.
pub fn tokens(dir: &Path) -> Result<String> {
    let (control, view) = token::write_both(dir)?;
    let (control, view) = (control.display(), view.display());
    Ok(format!(
        r#"{control}        for those who may see everything and switch cameras
{view}   for those who may see everything
Whoever runs watchpost must own both. In the receiver's file:

    [web]
    listen = "0.0.0.0:8080"
    token_file = "{control}"
    view_token_file = "{view}"

The page at http://THIS-HOST:8080/ asks once for one of them, which `cat {control}` shows.
A program says it with each request:

    curl -H "Authorization: Bearer $(cat {view})" http://THIS-HOST:8080/api/wall

HTTP is not encrypted: who can listen in that network can learn the token. Where that matters, leave `listen` on this
machine, behind a proxy with TLS or `ssh -L 8080:127.0.0.1:8080 THIS-HOST`.
"#
    ))
}
