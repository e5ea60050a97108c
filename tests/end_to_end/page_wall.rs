use std::fs;

use serde_json::json;

use crate::harness::{Bench, Board, Browser, Pi, Program, Receiver, eventually, film};

fn router(bench: &Bench) -> Receiver {
    let dir = bench.path("recordings");
    bench
        .receiver(&format!("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n[record]\ndir = \"{}\"", dir.display()))
}

/// Starts an agent on `bench`, with `rest` as the rest of its configuration.
fn agent(bench: &Bench, name: &str, receiver: &Receiver, rest: &str) -> Program {
    bench.agent(&format!(
        "name = \"{name}\"\nlink = [{{ pattern = \"dealer\", connect = \"{}\" }}]\n{rest}",
        receiver.link
    ))
}

fn tile(camera: &str, state: &str) -> String {
    format!("article[data-camera='{camera}'][data-state={state}]")
}

#[tokio::test(flavor = "multi_thread")]
async fn wall_of_two_agents_shows_unplugged_camera_and_recovery() {
    let (bench, shed_bench, barn_bench) = (Bench::new(), Bench::new(), Bench::new());
    // Both machines report no problems.
    let _machines = [Pi::new(&shed_bench), Pi::new(&barn_bench)];
    let receiver = router(&bench);
    let (film, _) = film(&shed_bench, "film", 20);
    shed_bench.plug_camera(0, &film);
    let patterns = |names: &[&str]| {
        let tables = names.iter().map(|name| format!("[[camera]]\nname = \"{name}\"\nsource = \"pattern\"\n"));
        tables.collect::<Vec<_>>().concat()
    };
    let usb = "[[camera]]\nname = \"door\"\nsource = \"/dev/video0\"\n";
    let _shed = agent(&shed_bench, "shed", &receiver, &format!("{usb}{}", patterns(&["window", "yard"])));
    let _barn = agent(&barn_bench, "barn", &receiver, &patterns(&["gate", "loft", "road"]));
    let browser = Browser::open(&bench, &receiver.page).await;

    for camera in ["shed/door", "shed/window", "shed/yard", "barn/gate", "barn/loft", "barn/road"] {
        let live = tile(camera, "live");
        browser.sees(&live).await;
        let drawn = browser.attribute(&live, "data-frames").await;
        browser.sees(&format!("{live}:not([data-frames='{drawn}'])")).await;
    }
    fs::remove_file(shed_bench.camera(0, "camera")).expect("the camera is plugged in");
    browser.reads(&tile("shed/door", "no-signal"), &["NO SIGNAL", "no such device", "since"]).await;
    browser.reads("#health[data-tone=bad]", &["shed/door: no signal"]).await;
    browser.sees(&tile("barn/road", "live")).await;
    shed_bench.plug_camera(0, &film);
    browser.sees(&tile("shed/door", "live")).await;
    browser.reads("#health[data-tone=good]", &["Everything is live"]).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_reading_is_shown_as_stale() {
    let bench = Bench::new();
    let receiver = router(&bench);
    let mut board = Board::new();
    let port = board.path.display();
    let serial = format!("serial = [{{ name = \"climate\", port = \"{port}\", stale_after = \"2s\" }}]");
    let agent = agent(&bench, "shed", &receiver, &serial);
    let browser = Browser::open(&bench, &receiver.page).await;
    agent.wait_for_log("climate", "open at");
    board.write_line("t-23.5");
    browser.sees("[data-reading='shed/climate/temperature'][data-value='23.5'][data-stale=false]").await;
    browser.reads("[data-reading='shed/climate/temperature'][data-stale=true]", &["STALE", "was 23.5"]).await;
    board.write_line("t-24");
    browser.sees("[data-reading='shed/climate/temperature'][data-value='24'][data-stale=false]").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_is_enlarged_saved_and_switched_by_mouse_and_keys() {
    let bench = Bench::new();
    let _machine = Pi::new(&bench);
    let receiver = router(&bench);
    let cameras = "camera = [{ name = \"door\", source = \"pattern\" }, { name = \"yard\", source = \"pattern\" }]";
    let _agent = agent(&bench, "shed", &receiver, cameras);
    let browser = Browser::open(&bench, &receiver.page).await;
    browser.sees(&tile("shed/door", "live")).await;
    browser.sees(&tile("shed/yard", "live")).await;

    browser.presses('2').await;
    browser.sees("article[data-camera='shed/yard'][data-large]").await;
    browser.presses('\u{e012}').await; // left
    browser.sees("article[data-camera='shed/door'][data-large]").await;
    browser.presses('s').await;
    let saved = eventually("the snapshot", || {
        let file = fs::read_dir(&browser.downloads).ok()?.flatten().next()?.path();
        file.extension().is_some_and(|kind| kind == "jpg").then(|| fs::read(file).expect("a file"))
    });
    assert!(saved.starts_with(&[0xff, 0xd8]) && saved.ends_with(&[0xff, 0xd9]), "the saved file is not a JPEG");
    browser.presses('o').await;
    browser.reads(&tile("shed/door", "off"), &["Off", "on purpose"]).await;
    browser.presses('\u{e00c}').await; // escape
    browser.sees("article[data-camera='shed/door']:not([data-large])").await;
    browser.reads("#health[data-tone=good]", &["1 switched off"]).await;
    browser.points("article[data-camera='shed/door']", 0.5).await;
    browser.click("article[data-camera='shed/door'] [data-action=power]").await;
    browser.sees(&tile("shed/door", "live")).await;
    browser.presses('?').await;
    browser.sees("#help[open]").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_have_urls_and_the_back_button_works() {
    let bench = Bench::new();
    let receiver = router(&bench);
    let _agent = agent(&bench, "shed", &receiver, "camera = [{ name = \"door\", source = \"pattern\" }]");
    let browser = Browser::open(&bench, &receiver.page).await;
    browser.sees(&tile("shed/door", "live")).await;
    browser.points("article[data-camera='shed/door']", 0.5).await;
    browser.presses('h').await;
    browser.sees("body[data-view=history] #views [href='#history'][aria-current]").await;
    browser.sees(".moment[data-camera='shed/door']").await;
    let hash = "return location.hash";
    // The moment is added once the cursor rests. Replacing the address cancels a step back.
    browser
        .becomes("the camera and the moment in the address", hash, &[], |hash| {
            hash.as_str().is_some_and(|hash| hash.contains("camera=shed%2Fdoor") && hash.contains("at="))
        })
        .await;
    browser.client.back().await.expect("the previous view");
    browser.sees("body[data-view=now]").await;
    browser.sees(&tile("shed/door", "live")).await;
    let scripts =
        "return performance.getEntriesByType('resource').filter((one) => !one.name.startsWith(location.origin)).length";
    assert_eq!(browser.run(scripts, &[]).await, json!(0), "a resource came from another origin");
    browser.close().await;
}
