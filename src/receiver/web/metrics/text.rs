//! Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

/// What a metric is.
#[derive(Clone, Copy, Debug)]
pub(in crate::receiver) enum Kind {
    /// It only grows, until a restart.
    Counter,
    /// As it is now.
    Gauge,
}

/// The text, a family of metrics after the other.
#[derive(Default)]
pub(in crate::receiver) struct Text(pub(super) String);

/// A sample's labels: names and values.
pub(in crate::receiver) type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Text {
    /// Adds a family: its name, which `watchpost_` goes before, what it is in a sentence, and each of its samples.
    pub(in crate::receiver) fn family<'a, const N: usize>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a, N>, f64)>,
    ) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP watchpost_{name} {help}"));
        self.line(format_args!("# TYPE watchpost_{name} {kind}"));
        for (labels, value) in samples {
            let labels = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text)));
            let labels = labels.collect::<Vec<_>>().join(",");
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            self.line(format_args!("watchpost_{name}{labels} {}", number(value)));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String takes all");
    }
}

/// A label's value is in quotes and on one line.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_infinite() { if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_has_help_type_and_escaped_labels() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "What it is.", [([("who", "a\"b\\c\nd")], 1.0), ([("who", "é")], 0.25)]);
        text.family("b", Kind::Gauge, "And this.", [([], f64::INFINITY)]);
        let expected = "# HELP watchpost_a_total What it is.\n# TYPE watchpost_a_total counter\n\
                        watchpost_a_total{who=\"a\\\"b\\\\c\\nd\"} 1\nwatchpost_a_total{who=\"é\"} 0.25\n\
                        # HELP watchpost_b And this.\n# TYPE watchpost_b gauge\nwatchpost_b +Inf\n";
        assert_eq!(text.0, expected);
    }
}
