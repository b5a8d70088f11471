//! Models without I/O: prices, costs of designs and of metered runs, arrivals, and fleets of instances.

pub(crate) mod cold;
pub(crate) mod cost;
pub(crate) mod decide;
pub(crate) mod logs;
pub(crate) mod prices;
pub(crate) mod production;
pub(crate) mod simulate;
pub(crate) mod sweep;
