use mpreg_types::Time;

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// True: the call is made by this node itself (its own code or a handler of it), so its own function is preferred
    /// while it has a free slot, and functions of local scope count. False: a client or worker calls through this node.
    pub own_call: bool,
    /// The moment.
    pub now: Time,
    /// A fresh random number: chance comes from outside.
    pub random: u64,
}
