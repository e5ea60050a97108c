//! What the agent's configuration says of quantities.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;
use crate::quantity::{is_label, known};

/// A quantity as its user knows it. What is not said is as it would be without the table.
#[derive(Clone, Debug)]
pub struct Quantity {
    /// Its name.
    pub name: String,
    /// One more label that boards have for it.
    pub label: Option<String>,
    /// Its unit, after `scale` and `offset`.
    pub unit: Option<String>,
    /// The least value that is believed.
    pub min: Option<f64>,
    /// The greatest value that is believed.
    pub max: Option<f64>,
    /// What a board's number is multiplied by …
    pub scale: f64,
    /// … and what is then added.
    pub offset: f64,
}

/// The tables by their names.
pub(super) type Tables = BTreeMap<Spanned<String>, Spanned<QuantityTable>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuantityTable {
    label: Option<String>,
    unit: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    offset: f64,
}

fn one() -> f64 {
    1.0
}

/// Bytes; a line has 256 for all.
const LONGEST_UNIT: usize = 16;

pub(super) fn check(tables: Tables) -> Result<Vec<Quantity>, Fault> {
    let mut all: Vec<Quantity> = Vec::new();
    for (name, table) in tables {
        let (key, span) = (name.span(), table.span());
        let QuantityTable { label, unit, min, max, scale, offset } = table.into_inner();
        let quantity = Quantity { name: name.into_inner(), label, unit, min, max, scale, offset };
        check_name(&quantity.name).map_err(|what| Fault::of("", key, what))?;
        check_values(&quantity).map_err(|(key, what)| Fault::of(key, span.clone(), what))?;
        check_label(&quantity, &all).map_err(|what| Fault::of("label", span.clone(), what))?;
        all.push(quantity);
    }
    Ok(all)
}

fn check_name(name: &str) -> Result<(), String> {
    match known(name) {
        Some(known) if known.name != name => {
            Err(format!("\"{name}\" is a label of {}; write [quantity.{}]", known.name, known.name))
        }
        None if !is_label(name) => Err(format!("\"{name}\" cannot be a quantity: its name needs a letter and no dash")),
        _ => Ok(()),
    }
}

fn check_values(quantity: &Quantity) -> Result<(), (&'static str, String)> {
    let numbers = [("min", quantity.min), ("max", quantity.max), ("offset", Some(quantity.offset))];
    if let Some((key, _)) = numbers.iter().find(|(_, number)| number.is_some_and(|number| !number.is_finite())) {
        return Err((key, "not a number that a value can be compared with; write for example 40.5".to_owned()));
    }
    if !quantity.scale.is_normal() {
        return Err(("scale", "every value would be the same; write for example 0.1".to_owned()));
    }
    if let (Some(min), Some(max)) = (quantity.min, quantity.max)
        && min >= max
    {
        return Err(("min", format!("no value is at least {min} and at most {max}; swap them")));
    }
    match &quantity.unit {
        Some(unit) if unit.len() > LONGEST_UNIT || unit.contains(char::is_control) => {
            Err(("unit", format!("a unit has at most {LONGEST_UNIT} bytes; write for example \"ppm\"")))
        }
        _ => Ok(()),
    }
}

fn check_label(quantity: &Quantity, others: &[Quantity]) -> Result<(), String> {
    let Some(label) = &quantity.label else { return Ok(()) };
    if !is_label(label) {
        return Err("a label has a letter and no dash; write it as the board does, for example \"a0\"".to_owned());
    }
    match others.iter().find(|other| other.label.as_ref() == Some(label)) {
        Some(other) => Err(format!("\"{label}\" is the label of {} already", other.name)),
        None => Ok(()),
    }
}
