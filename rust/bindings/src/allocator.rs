//! The extension's allocator: mimalloc for what a call is made of, the system's for large values.
//!
//! A call is allocated on one thread and freed on another, which the system's allocator is slow at. A value of a megabyte
//! is the other way round: the system's gives the same warm pages again, mimalloc new ones.
#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};

use mimalloc::MiMalloc;

/// From this size on the system allocates.
const LARGE_BYTES: usize = 128 * 1024;

/// See the module.
pub(crate) struct BySize;

impl BySize {
    fn of(layout: Layout) -> &'static dyn GlobalAlloc {
        if layout.size() < LARGE_BYTES { &MiMalloc } else { &System }
    }
}

// SAFETY: every block is freed by the allocator it came from, because both are chosen by the size in its layout, which
// is the same then; `realloc` keeps to that by staying with one allocator only if both sizes are its own.
unsafe impl GlobalAlloc for BySize {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { Self::of(layout).alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { Self::of(layout).alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { Self::of(layout).dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if (layout.size() < LARGE_BYTES) == (size < LARGE_BYTES) {
            // SAFETY: as above.
            return unsafe { Self::of(layout).realloc(block, layout, size) };
        }
        // SAFETY: the caller promises that `size` fits such a layout; the new block is at least `count` bytes long, as
        // is the old one, and they are different blocks.
        unsafe {
            let fresh = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !fresh.is_null() {
                let count = layout.size().min(size);
                std::ptr::copy_nonoverlapping(block, fresh, count);
                self.dealloc(block, layout);
            }
            fresh
        }
    }
}
