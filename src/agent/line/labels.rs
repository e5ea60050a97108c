//! Maps labels to quantities, with their units, ranges and calibrations.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Refusal;
use super::pairs::Value;
use crate::config;
use crate::quantity::{Quantity, is_label, known, usual_unit};

/// The meanings of one port's labels.
#[derive(Debug)]
pub struct Labels {
    configured: Vec<config::Quantity>,
    /// The labels seen so far, in the order of the port's lines.
    seen: Vec<Label>,
    /// Where to search first: the index after the last label found, which is usually the next label's.
    next: usize,
}

/// A label with a unit, and their meaning.
#[derive(Debug)]
struct Label {
    text: Box<str>,
    unit: Box<str>,
    quantity: Arc<Quantity>,
    /// Set when only the lines specify the unit: the number of lines that had this one.
    free_unit_lines: Option<u32>,
    /// The lines are in °F but the quantity is in °C.
    fahrenheit: bool,
    /// The value is the number in the quantity's unit, times `scale`, plus `offset`.
    calibrated: bool,
    scale: f64,
    offset: f64,
    range: RangeInclusive<f64>,
}

/// Bounds the memory that garbled labels can take; the oldest label is dropped.
const MAX_LABELS: usize = 64;

impl Labels {
    /// `configured`: the configured quantities.
    #[must_use]
    pub fn new(configured: &[config::Quantity]) -> Labels {
        Labels { configured: configured.to_vec(), seen: Vec::new(), next: 0 }
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
        if self.seen[index].free_unit_lines.is_some() {
            self.check_free_unit(index)?;
        }
        let found = &self.seen[index];
        let number = if found.fahrenheit { (value.number - 32.0) / 1.8 } else { value.number };
        let number = if found.calibrated { rounded(number * found.scale + found.offset) } else { number };
        if found.range.contains(&number) {
            Ok(Some((Arc::clone(&found.quantity), number)))
        } else {
            Err(Refusal::OutOfRange)
        }
    }

    /// When only the lines specify the unit, believes the most frequent one: a damaged digit looks like another unit.
    fn check_free_unit(&mut self, index: usize) -> Result<(), Refusal> {
        let lines = self.seen[index].free_unit_lines.map_or(1, |lines| lines.saturating_add(1));
        self.seen[index].free_unit_lines = Some(lines);
        let label = &self.seen[index].text;
        let rival = |other: &Label| {
            other.text == *label && other.free_unit_lines.is_some_and(|other_lines| other_lines > lines)
        };
        if self.seen.iter().any(rival) { Err(Refusal::Unit) } else { Ok(()) }
    }

    fn find(&self, label: &str, unit: &str) -> Option<usize> {
        let (before, after) = self.seen.split_at(self.next.min(self.seen.len()));
        // Most labels have no unit, and comparing empty strings still costs time.
        let is_unit = |found: &Label| found.unit.len() == unit.len() && (unit.is_empty() || *found.unit == *unit);
        let is = |found: &Label| *found.text == *label && is_unit(found);
        after.iter().position(is).map(|index| index + before.len()).or_else(|| before.iter().position(is))
    }

    fn add(&mut self, label: &str, unit: &str) -> Result<usize, Refusal> {
        let found = self.resolve(label, unit)?;
        if self.seen.len() == MAX_LABELS {
            self.seen.remove(0);
        }
        self.seen.push(found);
        Ok(self.seen.len() - 1)
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
        // A calibration applies to the quantity's built-in unit.
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

/// 0.1 has no exact binary form: without rounding, 586.5 times 0.1 is 58.650000000000006.
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
        assert!(labels.seen.len() <= MAX_LABELS);
    }
}
