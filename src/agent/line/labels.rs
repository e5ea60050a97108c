//! Labels to quantities, with their units, ranges and calibrations.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Refusal;
use super::pairs::Value;
use crate::config;
use crate::quantity::{Quantity, is_label, known, usual_unit};

/// What the labels of one port mean.
#[derive(Debug)]
pub struct Labels {
    configured: Vec<config::Quantity>,
    /// The labels that were met, in the order in which the port's lines have them.
    labels: Vec<Label>,
    /// The place in `met` behind the one that was found last: most often the next label's.
    next: usize,
}

/// A label with a unit, and what they mean.
#[derive(Debug)]
struct Label {
    text: Box<str>,
    unit: Box<str>,
    quantity: Arc<Quantity>,
    /// Nothing says what its unit is but the lines; this is in how many of them it was.
    free_unit_lines: Option<u32>,
    /// The line's number is in °F and the quantity in °C.
    fahrenheit: bool,
    /// The number in the quantity's unit times `scale`, and `offset` more, is the value.
    calibrated: bool,
    scale: f64,
    offset: f64,
    range: RangeInclusive<f64>,
}

/// Garbled labels must not fill memory: the oldest makes room.
const MAX_LABELS: usize = 64;

impl Labels {
    /// `configured`: what the configuration says of quantities.
    #[must_use]
    pub fn new(configured: &[config::Quantity]) -> Labels {
        Labels { configured: configured.to_vec(), labels: Vec::new(), next: 0 }
    }

    /// The quantity that `label` means, and its value; `None` when the text cannot be a label.
    ///
    /// # Errors
    /// When the quantity cannot have the unit or the value.
    pub fn read(&mut self, label: &str, value: Value<'_>) -> Result<Option<(Arc<Quantity>, f64)>, Refusal> {
        let index = match self.find(label, value.unit) {
            Some(index) => index,
            None if !is_label(label) => return Ok(None),
            None => self.add(label, value.unit)?,
        };
        self.next = index + 1;
        if self.labels[index].free_unit_lines.is_some() {
            self.check_free_unit(index)?;
        }
        let found = &self.labels[index];
        let number = if found.fahrenheit { (value.number - 32.0) / 1.8 } else { value.number };
        let number = if found.calibrated { rounded(number * found.scale + found.offset) } else { number };
        if found.range.contains(&number) {
            Ok(Some((Arc::clone(&found.quantity), number)))
        } else {
            Err(Refusal::OutOfRange)
        }
    }

    /// Where only the lines say the unit, that of most lines is right: a digit that is damaged looks like another one.
    fn check_free_unit(&mut self, index: usize) -> Result<(), Refusal> {
        let lines = self.labels[index].free_unit_lines.map_or(1, |lines| lines.saturating_add(1));
        self.labels[index].free_unit_lines = Some(lines);
        let label = &self.labels[index].text;
        let rival = |other: &Label| {
            other.text == *label && other.free_unit_lines.is_some_and(|other_lines| other_lines > lines)
        };
        if self.labels.iter().any(rival) { Err(Refusal::Unit) } else { Ok(()) }
    }

    fn find(&self, label: &str, unit: &str) -> Option<usize> {
        let (before, after) = self.labels.split_at(self.next.min(self.labels.len()));
        // No unit is the usual one, and comparing nothing with nothing is not free.
        let is_unit = |found: &Label| found.unit.len() == unit.len() && (unit.is_empty() || *found.unit == *unit);
        let is = |found: &Label| *found.text == *label && is_unit(found);
        after.iter().position(is).map(|index| index + before.len()).or_else(|| before.iter().position(is))
    }

    fn add(&mut self, label: &str, unit: &str) -> Result<usize, Refusal> {
        let found = self.resolve(label, unit)?;
        if self.labels.len() == MAX_LABELS {
            self.labels.remove(0);
        }
        self.labels.push(found);
        Ok(self.labels.len() - 1)
    }

    fn resolve(&self, label: &str, unit: &str) -> Result<Label, Refusal> {
        let configured = self.configured.iter().find(|quantity| quantity.is_called(label));
        let name = match configured {
            Some(quantity) => &quantity.name,
            None => known(label).map_or(label, |known| known.name),
        };
        let configured = self.configured.iter().find(|quantity| quantity.name == name);
        let known = known(name);
        let plain = config::Quantity::of(name);
        let meant = configured.unwrap_or(&plain);

        let own_unit = known.map(|known| known.unit);
        let shown_unit = meant.unit.as_deref();
        // What a calibration is applied to is in the unit that the quantity has without one.
        let line_unit = if meant.is_calibrated() { own_unit } else { shown_unit.or(own_unit) };
        let other_units = if line_unit == own_unit { known.map_or(&[][..], |known| known.line_units) } else { &[] };
        let fits = |unit: &str, own: &str| unit.is_empty() || usual_unit(unit) == usual_unit(own);
        if line_unit.is_some_and(|own| !fits(unit, own) && !other_units.contains(&usual_unit(unit))) {
            return Err(Refusal::Unit);
        }
        let own_unit = own_unit.filter(|own| !own.is_empty());
        let (min, max) = meant.range();
        Ok(Label {
            text: label.into(),
            unit: unit.into(),
            quantity: Arc::new(Quantity {
                name: name.into(),
                unit: shown_unit.or(own_unit).unwrap_or(unit).into(),
                listed: configured.is_some() || known.is_some(),
            }),
            free_unit_lines: line_unit.is_none().then_some(0),
            fahrenheit: line_unit == Some("°C") && usual_unit(unit) == "°F",
            calibrated: meant.is_calibrated(),
            scale: meant.scale,
            offset: meant.offset,
            range: min..=max,
        })
    }
}

/// 0.1 has no end in binary, and 586.5 times 0.1 shall not be 58.650000000000006.
fn rounded(number: f64) -> f64 {
    const DECIMALS: f64 = 1e9;
    if number.abs() < 1e6 { (number * DECIMALS).round() / DECIMALS } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbled_labels_do_not_fill_memory() {
        let mut labels = Labels::new(&[]);
        for number in 0..1_000 {
            labels.read(&format!("x{number}"), Value { number: 1.0, unit: "" }).expect("a quantity of its own");
            labels.read("t", Value { number: 25.0, unit: "" }).expect("temperature");
        }
        assert!(labels.labels.len() <= MAX_LABELS);
    }
}
