//! The data plane's machines: CallTable (caller side) and Switch (what arrives).
