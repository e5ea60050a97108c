//! Drives Debian's Chromium the way a person would.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fantoccini::actions::{InputSource as _, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Bench, PATIENCE, Program, free_port};

/// A browser that shows a page.
pub struct Browser {
    pub client: Client,
    /// The download directory.
    pub downloads: PathBuf,
    _driver: Program,
}

impl Browser {
    pub async fn open(bench: &Bench, page: &str) -> Browser {
        let port = free_port();
        // A fixed time zone makes the times on the page predictable.
        let driver = Program::start(Command::new("chromedriver").arg(format!("--port={port}")).env("TZ", "UTC"));
        driver.wait_for_line("chromedriver is ready", |line| line.contains("started successfully").then_some(()));
        let profile = format!("--user-data-dir={}", bench.path("profile").display());
        let downloads = bench.path("downloads");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &profile,
        ];
        let preferences = json!({ "download.default_directory": downloads });
        let capabilities = json!({ "goog:chromeOptions": { "args": arguments, "prefs": preferences } });
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session");
        client.goto(&format!("http://{page}")).await.expect("the page");
        Browser { client, downloads, _driver: driver }
    }

    /// Waits for an element that matches `css`.
    pub async fn sees(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        match found {
            Ok(element) => element,
            Err(error) => {
                panic!("no {css} on the page ({error}): {}", self.client.source().await.unwrap_or_default())
            }
        }
    }

    /// Waits until each of `words` appears in an element that matches `css`.
    pub async fn reads(&self, css: &str, words: &[&str]) {
        for words in words {
            let has = "return [...document.querySelectorAll(arguments[0])].some((node) => node.textContent.includes(arguments[1]))";
            self.becomes(&format!("{words:?} in {css}"), has, &[json!(css), json!(words)], |found| *found == true)
                .await;
        }
    }

    /// Runs a script until its result is `wanted`, and returns the result.
    pub async fn becomes(
        &self,
        what: &str,
        script: &str,
        arguments: &[Value],
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.run(script, arguments).await;
            if wanted(&found) {
                return found;
            }
            assert!(Instant::now() < end, "timed out after {PATIENCE:?}: {what}, but got {found}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.client.execute(script, arguments.to_vec()).await.expect(script)
    }

    pub async fn attribute(&self, css: &str, name: &str) -> String {
        let element = self.sees(css).await;
        element.attr(name).await.expect(name).unwrap_or_default()
    }

    pub async fn click(&self, css: &str) {
        self.sees(css).await.click().await.expect(css);
    }

    pub async fn presses(&self, key: char) {
        let keys =
            KeyActions::new("keys".into()).then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key });
        self.client.perform_actions(keys).await.expect("a key");
    }

    /// Moves the pointer into an element: `part` of its width from the left edge, vertically centred.
    pub async fn points(&self, css: &str, part: f64) {
        let (x, y) = self.position(css, part).await;
        let moves = MouseActions::new("mouse".into()).then(to(x, y));
        self.client.perform_actions(moves).await.expect("a pointer");
    }

    /// Drags horizontally in an element, from one part of its width to another, in ten steps.
    pub async fn drags(&self, css: &str, from: f64, to_part: f64) {
        let (x, y) = self.position(css, from).await;
        let (end, _) = self.position(css, to_part).await;
        let mut drag = MouseActions::new("mouse".into()).then(to(x, y));
        drag = drag.then(PointerAction::Down { button: MOUSE_BUTTON_LEFT });
        for step in 1..=10 {
            drag = drag.then(to(x + (end - x) * f64::from(step) / 10.0, y));
        }
        drag = drag.then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        self.client.perform_actions(drag).await.expect("a pointer");
    }

    async fn position(&self, css: &str, part: f64) -> (f64, f64) {
        let (left, top, width, height) = self.sees(css).await.rectangle().await.expect(css);
        (left + part * width, top + height.min(600.0) / 2.0)
    }

    pub async fn close(self) {
        self.client.close().await.expect("the browser closes");
    }
}

fn to(x: f64, y: f64) -> PointerAction {
    PointerAction::MoveTo { duration: Some(Duration::from_millis(10)), x, y }
}
