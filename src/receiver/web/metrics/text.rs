//! Prometheus text format, version 0.0.4.

use std::fmt::Write as _;

/// The type of a metric.
#[derive(Clone, Copy, Debug)]
pub(in crate::receiver) enum Kind {
    /// Only increases, until a restart.
    Counter,
    /// The current value.
    Gauge,
}

/// The text, one metric family after another.
#[derive(Default)]
pub(in crate::receiver) struct Text(pub(super) String);

/// Names and values of a sample's labels.
pub(in crate::receiver) type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Text {
    /// Adds a family: its name (without the prefix `watchpost_`), type, help sentence and samples.
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
        writeln!(self.0, "{line}").expect("writing to a String cannot fail");
    }
}

/// Escapes a label's value, which is quoted and on one line.
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
        text.family(
            "a_total",
            Kind::Counter,
            "First metric.",
            [([("label", "a\"b\\c\nd")], 1.0), ([("label", "é")], 0.25)],
        );
        text.family("b", Kind::Gauge, "Second metric.", [([], f64::INFINITY)]);
        let expected = "# HELP watchpost_a_total First metric.\n# TYPE watchpost_a_total counter\n\
                        watchpost_a_total{label=\"a\\\"b\\\\c\\nd\"} 1\nwatchpost_a_total{label=\"é\"} 0.25\n\
                        # HELP watchpost_b Second metric.\n# TYPE watchpost_b gauge\nwatchpost_b +Inf\n";
        assert_eq!(text.0, expected);
    }
}
