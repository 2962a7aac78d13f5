//! Whole meshes in one thread under a seeded event heap: faults, oracles, scenarios. Never in the wheel.
