//! `[quantity.NAME]` tables.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;
use crate::quantity::{MAX_NAME_BYTES, MAX_UNIT_BYTES, is_label, known, usual_unit};

/// Settings of a quantity. Missing ones have the values that apply without the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    /// Its name.
    pub name: String,
    /// An additional label of boards.
    pub label: Option<String>,
    /// Its unit, after `scale` and `offset`.
    pub unit: Option<String>,
    /// Lower limit of valid values.
    pub min: Option<f64>,
    /// Upper limit of valid values.
    pub max: Option<f64>,
    /// Factor for the board's numbers.
    pub scale: f64,
    /// Added after scaling.
    pub offset: f64,
}

impl Quantity {
    /// Returns a quantity without settings.
    #[must_use]
    pub fn of(name: &str) -> Quantity {
        Quantity { name: name.to_owned(), label: None, unit: None, min: None, max: None, scale: 1.0, offset: 0.0 }
    }

    /// Whether the board's numbers are scaled or shifted.
    #[must_use]
    pub fn is_calibrated(&self) -> bool {
        (self.scale, self.offset) != (1.0, 0.0)
    }

    /// Returns the lower and upper limit of valid values.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let (least, most) = match known(&self.name) {
            Some(known) => (*known.range.start(), *known.range.end()),
            None => (f64::MIN, f64::MAX),
        };
        (self.min.unwrap_or(least), self.max.unwrap_or(most))
    }

    /// Whether `label` is its name or its label.
    #[must_use]
    pub fn is_called(&self, label: &str) -> bool {
        let mut names = [Some(&self.name), self.label.as_ref()].into_iter().flatten();
        names.any(|name| name.eq_ignore_ascii_case(label))
    }
}

/// The tables by name.
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

pub(super) fn check(tables: Tables) -> Result<Vec<Quantity>, Fault> {
    let mut all: Vec<Quantity> = Vec::new();
    for (name, table) in tables {
        let (key, span) = (name.span(), table.span());
        let QuantityTable { label, unit, min, max, scale, offset } = table.into_inner();
        let quantity = Quantity { name: name.into_inner(), label, unit, min, max, scale, offset };
        check_name(&quantity.name).map_err(|what| Fault::of("", key, what))?;
        check_values(&quantity).map_err(|(key, what)| Fault::of(key, span.clone(), what))?;
        check_label(&quantity, &all).map_err(|(key, what)| Fault::of(key, span, what))?;
        all.push(quantity);
    }
    Ok(all)
}

fn check_name(name: &str) -> Result<(), String> {
    match known(name) {
        Some(known) if known.name != name => {
            Err(format!("\"{name}\" is a label of {}; write [quantity.{}]", known.name, known.name))
        }
        None if !is_label(name) => Err(format!(
            "\"{name}\" cannot be a quantity; write a name with a letter and without a dash{}",
            too_long(name)
        )),
        _ => Ok(()),
    }
}

/// The rest of an error about a name: its length, if that is the reason.
pub(super) fn too_long(name: &str) -> String {
    if name.len() > MAX_NAME_BYTES { format!(", of at most {MAX_NAME_BYTES} bytes") } else { String::new() }
}

fn check_values(quantity: &Quantity) -> Result<(), (&'static str, String)> {
    let numbers = [("min", quantity.min), ("max", quantity.max), ("offset", Some(quantity.offset))];
    if let Some((key, _)) = numbers.iter().find(|(_, number)| number.is_some_and(|number| !number.is_finite())) {
        return Err((key, "not a finite number; write for example 40.5".to_owned()));
    }
    if !quantity.scale.is_normal() {
        return Err(("scale", "the scale cannot be 0; write for example 0.1".to_owned()));
    }
    if let (Some(unit), Some(known)) = (&quantity.unit, known(&quantity.name))
        && !(known.unit.is_empty() || usual_unit(unit) == known.unit || quantity.is_calibrated())
    {
        let own = known.unit;
        let what = format!(
            "`unit` does not convert, and {} is in {own}; add the conversion to {unit}, for °F: scale = 1.8, offset = 32",
            quantity.name
        );
        return Err(("unit", what));
    }
    let (min, max) = quantity.range();
    if min >= max {
        let key = if quantity.min.is_some() { "min" } else { "max" };
        return Err((key, format!("no value is at least {min} and at most {max}; write the smaller one as min")));
    }
    match &quantity.unit {
        Some(unit) if unit.len() > MAX_UNIT_BYTES || unit.contains(char::is_control) => Err((
            "unit",
            format!("a unit has at most {MAX_UNIT_BYTES} bytes and no control characters; write for example \"ppm\""),
        )),
        _ => Ok(()),
    }
}

fn check_label(quantity: &Quantity, others: &[Quantity]) -> Result<(), (&'static str, String)> {
    if let Some(label) = &quantity.label
        && !is_label(label)
    {
        let what =
            "a label has a letter, no dash and no space around it; copy it from the board's output, for example \"a0\"";
        return Err(("label", format!("{what}{}", too_long(label))));
    }
    let names = [("label", quantity.label.as_ref()), ("", Some(&quantity.name))];
    for (key, name) in names {
        if let Some(name) = name
            && let Some(other) = others.iter().find(|other| other.is_called(name))
        {
            return Err((key, format!("\"{name}\" is already used for {}; write another one", other.name)));
        }
    }
    Ok(())
}
