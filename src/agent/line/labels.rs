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
    /// The line's number is in °F and the quantity in °C.
    fahrenheit: bool,
    /// The number in the quantity's unit times `scale`, and `offset` more, is the value.
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
        let met = &self.met[place];
        let number = if met.fahrenheit { (value.number - 32.0) / 1.8 } else { value.number };
        let number = number * met.scale + met.offset;
        if met.range.contains(&number) { Ok((Arc::clone(&met.quantity), number)) } else { Err(Refusal::OutOfRange) }
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
        let by_label = self.configured.iter().find(|quantity| quantity.label.as_deref() == Some(label));
        let name = match by_label {
            Some(quantity) => &quantity.name,
            None => known(label).map_or(label, |known| known.name),
        };
        let configured = self.configured.iter().find(|quantity| quantity.name == name);
        let known = known(name);

        let own_unit = configured.and_then(|quantity| quantity.unit.as_deref());
        let own_unit = own_unit.or(known.map(|known| known.unit)).unwrap_or("");
        let (shown_unit, fahrenheit) = match (usual_unit(own_unit), usual_unit(unit)) {
            ("", _) => (unit, false),
            (own, line) if line.is_empty() || line == own => (own_unit, false),
            ("°C", "°F") => (own_unit, true),
            _ => return Err(Refusal::Unit),
        };
        let (least, most) = known.map_or((f64::MIN, f64::MAX), |known| (*known.range.start(), *known.range.end()));
        let least = configured.and_then(|quantity| quantity.min).unwrap_or(least);
        let most = configured.and_then(|quantity| quantity.max).unwrap_or(most);
        let listed = configured.is_some() || known.is_some();
        Ok(Met {
            label: label.into(),
            unit: unit.into(),
            quantity: Arc::new(Quantity { name: name.into(), unit: shown_unit.into(), listed }),
            fahrenheit,
            scale: configured.map_or(1.0, |quantity| quantity.scale),
            offset: configured.map_or(0.0, |quantity| quantity.offset),
            range: least..=most,
        })
    }
}
