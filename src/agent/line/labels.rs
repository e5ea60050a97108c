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
    met: Vec<Met>,
    /// The place in `met` behind the one that was found last: most often the next label's.
    next: usize,
}

/// A label with a unit, and what they mean.
#[derive(Debug)]
struct Met {
    label: Box<str>,
    unit: Box<str>,
    quantity: Arc<Quantity>,
    /// Nothing says what its unit is but the lines; this is in how many of them it was.
    free: Option<u32>,
    /// The line's number is in °F and the quantity in °C.
    fahrenheit: bool,
    /// The number in the quantity's unit times `scale`, and `offset` more, is the value.
    calibrated: bool,
    scale: f64,
    offset: f64,
    range: RangeInclusive<f64>,
}

/// Garbled labels must not fill memory: the oldest makes room.
const MOST_MET: usize = 64;

impl Labels {
    /// `configured`: what the configuration says of quantities.
    #[must_use]
    pub fn new(configured: &[config::Quantity]) -> Labels {
        Labels { configured: configured.to_vec(), met: Vec::new(), next: 0 }
    }

    /// The quantity that `label` means, and its value.
    ///
    /// # Errors
    /// When the label is none, or the unit or the value cannot be of this quantity.
    pub fn read(&mut self, label: &str, value: Value<'_>) -> Result<(Arc<Quantity>, f64), Refusal> {
        let place = match self.find(label, value.unit) {
            Some(place) => place,
            None => self.meet(label, value.unit)?,
        };
        self.next = place + 1;
        if self.met[place].free.is_some() {
            self.check_free_unit(place)?;
        }
        let met = &self.met[place];
        let number = if met.fahrenheit { (value.number - 32.0) / 1.8 } else { value.number };
        let number = if met.calibrated { rounded(number * met.scale + met.offset) } else { number };
        if met.range.contains(&number) { Ok((Arc::clone(&met.quantity), number)) } else { Err(Refusal::OutOfRange) }
    }

    /// Where only the lines say the unit, that of most lines is right: a digit that is damaged looks like another one.
    fn check_free_unit(&mut self, place: usize) -> Result<(), Refusal> {
        let lines = self.met[place].free.map_or(1, |lines| lines.saturating_add(1));
        self.met[place].free = Some(lines);
        let label = &self.met[place].label;
        let rival = |other: &Met| other.label == *label && other.free.is_some_and(|others| others > lines);
        if self.met.iter().any(rival) { Err(Refusal::Unit) } else { Ok(()) }
    }

    fn find(&self, label: &str, unit: &str) -> Option<usize> {
        let (before, behind) = self.met.split_at(self.next.min(self.met.len()));
        // No unit is the usual one, and comparing nothing with nothing is not free.
        let is_unit = |met: &Met| met.unit.len() == unit.len() && (unit.is_empty() || *met.unit == *unit);
        let is = |met: &Met| *met.label == *label && is_unit(met);
        behind.iter().position(is).map(|place| place + before.len()).or_else(|| before.iter().position(is))
    }

    fn meet(&mut self, label: &str, unit: &str) -> Result<usize, Refusal> {
        let met = self.meaning(label, unit)?;
        if self.met.len() == MOST_MET {
            self.met.remove(0);
        }
        self.met.push(met);
        Ok(self.met.len() - 1)
    }

    fn meaning(&self, label: &str, unit: &str) -> Result<Met, Refusal> {
        if !is_label(label) {
            return Err(Refusal::Garbled);
        }
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
        let others = if line_unit == own_unit { known.map_or(&[][..], |known| known.line_units) } else { &[] };
        let fits = |unit: &str, own: &str| unit.is_empty() || usual_unit(unit) == usual_unit(own);
        if line_unit.is_some_and(|own| !fits(unit, own) && !others.contains(&usual_unit(unit))) {
            return Err(Refusal::Unit);
        }
        let own_unit = own_unit.filter(|own| !own.is_empty());
        let (least, most) = meant.range();
        Ok(Met {
            label: label.into(),
            unit: unit.into(),
            quantity: Arc::new(Quantity {
                name: name.into(),
                unit: shown_unit.or(own_unit).unwrap_or(unit).into(),
                listed: configured.is_some() || known.is_some(),
            }),
            free: line_unit.is_none().then_some(0),
            fahrenheit: line_unit == Some("°C") && usual_unit(unit) == "°F",
            calibrated: meant.is_calibrated(),
            scale: meant.scale,
            offset: meant.offset,
            range: least..=most,
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
        assert!(labels.met.len() <= MOST_MET);
    }
}
