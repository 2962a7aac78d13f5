//! SWIM membership of one cluster: an adapter around foca, with leaving, table repair and local health.
