//! What makes a series: agent, port, quantity and unit.

use std::sync::Arc;

use crate::name::Name;

/// The label of a reading.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label {
    pub(super) agent: Name,
    pub(super) port: Name,
    pub(super) quantity: Arc<str>,
    pub(super) unit: Arc<str>,
}
