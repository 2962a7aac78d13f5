use rustix::rand::{GetRandomFlags, getrandom};

/// `N` bytes from the operating system: keys, nonces, secrets and the machines' seeds.
pub(crate) fn random_bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    let mut filled = 0;
    while filled < N {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
