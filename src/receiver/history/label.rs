//! Labels of readings: all readings with the same label are one series.

use std::sync::Arc;

use crate::name::Name;

/// Agent, port, quantity and unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label {
    pub(super) agent: Name,
    pub(super) port: Name,
    pub(super) quantity: Arc<str>,
    pub(super) unit: Arc<str>,
}
