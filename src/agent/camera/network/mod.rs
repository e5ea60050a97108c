//! Network cameras: asks each for its stream, and reads those that send JPEGs over HTTP. The others are left to
//! watchpost-video.
//!
//! `mod.rs` decides who reads a camera. `camera.rs` is a camera that is read here, and `feed.rs` the task that reads it;
//! `multipart.rs` takes JPEGs out of a stream, with `jpeg_end.rs`. `client.rs` sends HTTP requests and `rtsp.rs` RTSP
//! requests, both with `address.rs`, `connect.rs` and `login.rs`, HTTP also with `tls.rs`. `answer.rs` and `sdp.rs` say
//! in words why an answer has no pictures.

pub(super) mod address;
mod answer;
mod camera;
mod client;
pub(super) mod connect;
mod feed;
mod jpeg_end;
mod login;
mod multipart;
mod rtsp;
mod sdp;
mod tls;

use std::path::PathBuf;

use anyhow::Result;

use address::Address;
use answer::{Content, content_of_bytes};
use client::{Client, NotHttp};
use feed::{Body, content_of};

use crate::config;

pub(super) use camera::{NetworkCamera, Opening};

/// A camera's answer to the question for its stream.
enum Answer {
    /// A Motion JPEG stream with this boundary.
    Stream(Body, String),
    /// The first of many single JPEGs.
    Picture(Box<Client>, Body),
    /// A stream that watchpost-video reads.
    Video,
}

/// Asks a camera for its stream, as doctor does before the agent runs; returns whether watchpost-video has to read it.
///
/// # Errors
/// The reason in words why it has none.
pub(super) async fn check(address: Address, camera: &config::Camera) -> Result<bool> {
    Ok(matches!(ask(address, camera.size.is_some(), camera.certificate.clone()).await?, Answer::Video))
}

/// Asks a camera for its stream and decides who reads it. Pictures are not scaled here: watchpost-video does that.
async fn ask(address: Address, has_size: bool, certificate: Option<PathBuf>) -> Result<Answer> {
    if !address.is_http() {
        rtsp::ask(&address).await?;
        return Ok(Answer::Video);
    }
    let mut client = Client::new(address, certificate);
    let response = match client.get().await {
        // Some old streaming servers answer in a dialect of HTTP.
        Err(error) if error.is::<NotHttp>() => return Ok(Answer::Video),
        response => response?,
    };
    let content = content_of(&response, &client)?;
    let mut body = Body::new(response.into_body());
    let content = match content {
        Content::Unknown => {
            let has_length = body.has_length();
            content_of_bytes(body.peek().await?, has_length)
        }
        known => known,
    };
    Ok(match content {
        Content::Multipart(boundary) if !has_size => Answer::Stream(body, boundary),
        Content::Picture if !has_size => Answer::Picture(Box::new(client), body),
        _ => Answer::Video,
    })
}
