//! Copies out of objects with the buffer protocol.
#![expect(unsafe_code, reason = "the memory of a buffer can only be read through its pointer")]

use pyo3::buffer::PyUntypedBuffer;

/// Appends the bytes of a contiguous buffer (C or Fortran), in the order of its memory. False: it is not contiguous.
pub(super) fn append(view: &PyUntypedBuffer, to: &mut Vec<u8>) -> bool {
    if !view.is_c_contiguous() && !view.is_fortran_contiguous() {
        return false;
    }
    let count = view.len_bytes();
    if count == 0 {
        return true;
    }
    to.reserve(count);
    let Some(place) = to.spare_capacity_mut().get_mut(..count) else { return false };
    // SAFETY: a contiguous buffer that is still held has `len_bytes` readable bytes at its pointer; the place is that
    // long, and as part of a Vec of ours it does not overlap. Another thread that writes into the buffer meanwhile
    // changes what is copied, as it would for any C code.
    unsafe {
        std::ptr::copy_nonoverlapping(
            view.buf_ptr().cast::<u8>().cast_const(),
            place.as_mut_ptr().cast(),
            count,
        );
        to.set_len(to.len() + count);
    }
    true
}
