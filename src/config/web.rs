//! The `[web]` table of the receiver's file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;

/// The page and its tokens.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// Address of the page. Without a token it is on this machine only.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// File with the token that permits viewing and control; `None` for a page without login.
    pub token_file: Option<PathBuf>,
    /// File with the token that permits viewing only.
    pub view_token_file: Option<PathBuf>,
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 8080).into()
}

impl Default for Web {
    fn default() -> Web {
        Web { listen: default_listen(), token_file: None, view_token_file: None }
    }
}

impl Web {
    pub(super) fn check(table: Spanned<Web>) -> Result<Web, Fault> {
        let span = table.span();
        let web = table.into_inner();
        for (key, file) in [("token_file", &web.token_file), ("view_token_file", &web.view_token_file)] {
            if let Some(path) = file.as_ref().filter(|path| !path.is_absolute()) {
                let what = format!(
                    "\"{}\" is not a whole path of a file; write for example \"/etc/watchpost/keys/web.token\"",
                    path.display()
                );
                return Err(Fault::of(key, span, what));
            }
        }
        if web.view_token_file.is_some() && web.token_file.is_none() {
            let what = "a view token needs a control token, too, or everyone could control cameras; run \
                        `watchpost keygen --token`, which creates both, and add `token_file = …`";
            return Err(Fault::of("view_token_file", span, what.into()));
        }
        if web.token_file.is_none() && !web.listen.ip().is_loopback() {
            let what = format!(
                "{} can be reached from other machines without a login; run `watchpost keygen --token`, which creates \
                 a token and shows how to configure it; or write \"127.0.0.1:8080\" and open the page through \
                 `ssh -L 8080:127.0.0.1:8080 THIS-HOST`",
                web.listen
            );
            return Err(Fault::of("listen", span, what));
        }
        Ok(web)
    }
}
