//! Generates lines of all kinds: valid, damaged, and random bytes.

use fastrand::Rng;

const LABELS: [&str; 16] = [
    "t", "T", "temp", "wendu", "温度", "h", "hum", "shidu", "湿度", "mq2", "MQ9", "light", "lux", "lihgt", "co2",
    " soil_1 ",
];

const ODD_LABELS: [&str; 11] =
    ["", "3v3", "5", "e5", "inf", "空气 质量", "\u{7}x", "l", "\u{feff}t", " \u{2066}h\u{200b} ", "\u{200b}"];

const UNITS: [&str; 6] = ["", "", "", "", "", " "];

const ODD_UNITS: [&str; 15] = [
    "C\u{200b}",
    "C",
    "°C",
    "F",
    "%",
    "%RH",
    " ppm",
    "lx",
    "µg/m³",
    "m3",
    "e",
    "E5",
    "x1F",
    ",5",
    "much too long for a unit",
];

const NO_NUMBERS: [&str; 12] = ["", " ", "nan", "inf", "-inf", "-nan", "NaN", "--", "+", "-.", "abc", "infinity"];

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

/// Picks an odd string one time in ten, otherwise a usual one.
fn mostly<'a>(rng: &mut Rng, usual: &[&'a str], odd: &[&'a str]) -> &'a str {
    if rng.u8(..10) == 0 { pick(rng, odd) } else { pick(rng, usual) }
}

/// Returns a number as a board might print it.
fn number(rng: &mut Rng) -> String {
    let size = 10_u32.pow(rng.u32(..7));
    let whole = rng.u32(..size);
    let sign = pick(rng, &["", "", "", "", "-", "+"]);
    match rng.u8(..8) {
        0 => format!("{sign}{whole}.{}", rng.u32(..1000)),
        1 => format!("{sign}.{}", rng.u32(..1000)),
        2 => format!("{sign}{whole}."),
        3 => format!("{sign}{whole}{}{}", pick(rng, &["e", "E", "e+", "e-"]), rng.u32(..400)),
        _ => format!("{sign}{whole}"),
    }
}

/// Returns pairs of labels and values, complete or not.
pub fn line(rng: &mut Rng) -> Vec<u8> {
    let mut line = String::new();
    for index in 0..rng.usize(..5) {
        line.push_str(if index == 0 { "" } else { mostly(rng, &["-"], &[" - ", "--", " "]) });
        line.push_str(mostly(rng, &LABELS, &ODD_LABELS));
        line.push_str(mostly(rng, &["-"], &["- ", " -", "--", ""]));
        line.push_str(&if rng.u8(..10) == 0 { pick(rng, &NO_NUMBERS).to_owned() } else { number(rng) });
        line.push_str(mostly(rng, &UNITS, &ODD_UNITS));
    }
    line.push_str(mostly(rng, &["", "", "-"], &["\r", " ", "--", "-h"]));
    let mut line = line.into_bytes();
    if !line.is_empty() && rng.u8(..4) == 0 {
        damage(rng, &mut line);
    }
    line.retain(|byte| *byte != b'\n');
    line
}

/// Damages bytes like a noisy wire or a full buffer.
fn damage(rng: &mut Rng, line: &mut Vec<u8>) {
    let index = rng.usize(..line.len());
    match rng.u8(..5) {
        0 => line[index] = rng.u8(..),
        1 => line[index] ^= 1 << rng.u8(..8),
        2 => drop(line.remove(index)),
        3 => line.truncate(index),
        _ => line.insert(index, b"-e.+0C "[rng.usize(..7)]),
    }
}

/// Returns a line whose every second field is a number; the fields in between are arbitrary.
pub fn positional(rng: &mut Rng) -> String {
    let mut line = String::new();
    for _ in 0..rng.usize(1..5) {
        line.push_str(mostly(rng, &LABELS, &ODD_LABELS));
        line.push('-');
        let number = number(rng);
        line.push_str(pick(rng, &["", "", "", " "]));
        line.push_str(number.trim_start_matches('-'));
        line.push_str(pick(rng, &["", "", "", "", " ", "C"]));
        line.push('-');
    }
    line.push_str(pick(rng, &["", "OK", "ok-", "*1F", "--", "\r"]));
    line
}
