//! Who may come in, and what for.
//!
//! Every request passes the door. Without tokens everybody may do everything who reaches this machine's own address,
//! but no page of somebody else's in a browser here. With tokens one is asked for, in a header or as the cookie that
//! the login page gives for it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, COOKIE, LOCATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, sleep};

use super::Site;
use super::answer::Refusal;
use super::origin;
use crate::auth::token::{Token, Tokens};
use crate::config::Web;
use crate::lock::lock;

/// Nobody needs a cookie to see these: they show nothing, or are where one gets it.
const OPEN: [&str; 5] = ["/login", "/login.css", "/page.css", "/icon.svg", "/health"];

/// Wrong tokens a second after which each is answered later.
const PATIENT: u32 = 10;
const LATER: Duration = Duration::from_millis(500);

/// What a viewer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// See everything.
    View,
    /// And switch cameras.
    Control,
}

/// Who may come in.
pub struct Access {
    /// None: nobody is asked.
    keys: Vec<Key>,
    /// What the cookie is called: cookies are a host's whatever the port, and another receiver there has its own.
    name: String,
    wrong: Mutex<Wrong>,
}

/// What a role is proved with.
struct Key {
    role: Role,
    token: [u8; 32],
    /// The same after a restart, and another one with another token.
    cookie: String,
}

/// How many wrong tokens came in this second.
struct Wrong {
    since: Instant,
    count: u32,
}

impl Key {
    fn of(role: Role, token: &Token) -> Key {
        let mark = match role {
            Role::View => "watchpost cookie view ",
            Role::Control => "watchpost cookie control ",
        };
        let cookie = Sha256::new().chain_update(mark).chain_update(token.word()).finalize();
        Key { role, token: digest(token.word()), cookie: URL_SAFE_NO_PAD.encode(cookie) }
    }
}

/// Of the same length whatever it is of, so that comparing two tells nothing by the time that it takes.
fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl Access {
    /// As the configuration has it.
    ///
    /// # Errors
    /// When a token is not to be had.
    pub fn open(web: &Web) -> Result<Access> {
        let tokens = Tokens::read(web)?;
        let word = tokens.as_ref().map_or("", |tokens| tokens.control.word());
        let [a, b, c, d, ..] = digest(word);
        let name = format!("watchpost-{:08x}", u32::from_be_bytes([a, b, c, d]));
        let keys = tokens.iter().flat_map(|tokens| {
            let control = Key::of(Role::Control, &tokens.control);
            [Some(control), tokens.view.as_ref().map(|token| Key::of(Role::View, token))]
        });
        let wrong = Mutex::new(Wrong { since: Instant::now(), count: 0 });
        Ok(Access { keys: keys.flatten().collect(), name, wrong })
    }

    /// Whether anybody is asked.
    pub(super) fn asks(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The cookie for a token, if it is right. After a few wrong ones all wait a moment, whatever they have.
    pub(super) async fn cookie(&self, token: &str) -> Option<&str> {
        let key = self.key(token);
        if self.is_besieged(key.is_none()) {
            sleep(LATER).await;
        }
        key.map(|key| key.cookie.as_str())
    }

    fn key(&self, token: &str) -> Option<&Key> {
        let digest = digest(token);
        self.keys.iter().find(|key| key.token.ct_eq(&digest).into())
    }

    /// Counts a wrong token; true after too many.
    fn is_besieged(&self, is_wrong: bool) -> bool {
        let mut wrong = lock(&self.wrong);
        if wrong.since.elapsed() >= Duration::from_secs(1) {
            *wrong = Wrong { since: Instant::now(), count: 0 };
        }
        wrong.count = wrong.count.saturating_add(u32::from(is_wrong));
        wrong.count > PATIENT
    }

    /// What whoever sends these headers may do; none: they do not say who they are.
    pub(super) async fn role(&self, headers: &HeaderMap) -> Option<Role> {
        if !self.asks() {
            return Some(Role::Control);
        }
        // A proxy in front may have an `Authorization` of its own.
        let said = headers.get(AUTHORIZATION).and_then(|said| said.to_str().ok()).and_then(|said| said.split_once(' '));
        if let Some((_, token)) = said.filter(|(kind, _)| is_bearer(kind)) {
            let role = self.key(token.trim()).map(|key| key.role);
            if role.is_none() && self.is_besieged(true) {
                sleep(LATER).await;
            }
            return role;
        }
        self.cookies(headers).find_map(|cookie| {
            let digest = digest(cookie);
            self.keys.iter().find(|key| self::digest(&key.cookie).ct_eq(&digest).into()).map(|key| key.role)
        })
    }

    /// The values of our cookies.
    fn cookies<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let all = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
        let each = all.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        each.filter(|(name, _)| *name == self.name).map(|(_, value)| value)
    }

    /// What makes a browser keep a cookie, or forget it. No script sees it, and it comes with no request of another site's
    /// page but with links that are followed to here.
    pub(super) fn set_cookie(&self, value: &str, seconds: u32, encrypted: bool) -> HeaderValue {
        let (name, secure) = (&self.name, if encrypted { "; Secure" } else { "" });
        let text = format!("{name}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&text).expect("base64 and words of ours are a header's value")
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.asks() { "which asks for a token" } else { "for everybody on this machine" })
    }
}

fn is_bearer(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("bearer")
}

/// The door.
pub(super) async fn door(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    if let Err(stranger) = origin::check(request.headers(), !site.access.asks()) {
        return Refusal(StatusCode::FORBIDDEN, stranger).into_response();
    }
    let path = request.uri().path();
    if OPEN.contains(&path) {
        return next.run(request).await;
    }
    let Some(role) = site.access.role(request.headers()).await else {
        return who_is_there(&request);
    };
    let only_looks = matches!(*request.method(), Method::GET | Method::HEAD) || path == "/logout";
    if role == Role::View && !only_looks {
        let words = "this token is for looking only; the other one, of `token_file`, is for switching";
        return Refusal(StatusCode::FORBIDDEN, words.into()).into_response();
    }
    request.extensions_mut().insert(role);
    next.run(request).await
}

/// A person is shown where to say it, a program is told.
fn who_is_there(request: &Request) -> Response {
    let accepts = request.headers().get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).unwrap_or("");
    if request.method() == Method::GET && request.uri().path() == "/" && accepts.contains("text/html") {
        return (StatusCode::SEE_OTHER, [(LOCATION, "/login")]).into_response();
    }
    let words = if request.headers().contains_key(AUTHORIZATION) {
        "what the header `Authorization` says is no token of this receiver; `Authorization: Bearer TOKEN` has the one that \
         stands in its token_file"
    } else {
        "a token is needed: log in at /login, or send the header `Authorization: Bearer TOKEN`"
    };
    let refusal = Refusal(StatusCode::UNAUTHORIZED, words.into());
    ([(WWW_AUTHENTICATE, "Bearer realm=\"watchpost\"")], refusal).into_response()
}

/// What whoever asks may do, as the door found it.
impl<S: Sync> FromRequestParts<S> for Role {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Role, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Role::View))
    }
}
