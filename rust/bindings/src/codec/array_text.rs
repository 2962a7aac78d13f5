//! numpy makes strings of whatever four bytes stand in a text array. Numbers that are no characters would make `str`
//! objects that break what the interpreter relies on, so arrays from the wire are looked through first.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

const CHARACTER_BYTES: usize = 4;
const LAST_CHARACTER: u32 = 0x0010_ffff;

/// A stretch of text within one item.
struct Stretch {
    start: usize,
    end: usize,
    big_endian: bool,
}

/// True if all text in `items` (of this type) is made of characters.
pub(super) fn is_text(dtype: &Bound<'_, PyAny>, items: &[u8]) -> PyResult<bool> {
    let itemsize = size(dtype)?;
    // Without items nothing bounds the type: a subarray of it may have any length.
    if items.is_empty() || itemsize == 0 {
        return Ok(true);
    }
    let mut stretches = Vec::new();
    collect(dtype, 0, &mut stretches)?;
    Ok(stretches.iter().all(|stretch| {
        items.chunks_exact(itemsize).filter_map(|item| item.get(stretch.start..stretch.end)).all(|text| {
            let (characters, _) = text.as_chunks::<CHARACTER_BYTES>();
            characters.iter().all(|&bytes| {
                let number =
                    if stretch.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
                number <= LAST_CHARACTER
            })
        })
    }))
}

fn collect(dtype: &Bound<'_, PyAny>, start: usize, stretches: &mut Vec<Stretch>) -> PyResult<()> {
    let py = dtype.py();
    let kind: char = dtype.getattr(intern!(py, "kind"))?.extract()?;
    if kind == 'U' {
        let big_endian = dtype.getattr(intern!(py, "str"))?.extract::<String>()?.starts_with('>');
        stretches.push(Stretch { start, end: start + size(dtype)?, big_endian });
        return Ok(());
    }
    // Only structures and subarrays have parts.
    if kind != 'V' {
        return Ok(());
    }
    let names = dtype.getattr(intern!(py, "names"))?;
    if !names.is_none() {
        let fields = dtype.getattr(intern!(py, "fields"))?;
        for name in names.cast::<PyTuple>()?.iter() {
            let field = fields.get_item(name)?;
            collect(&field.get_item(0)?, start + field.get_item(1)?.extract::<usize>()?, stretches)?;
        }
        return Ok(());
    }
    let subarray = dtype.getattr(intern!(py, "subdtype"))?;
    if subarray.is_none() {
        return Ok(());
    }
    let base = subarray.get_item(0)?;
    let mut parts = Vec::new();
    collect(&base, 0, &mut parts)?;
    let (whole, step) = (size(dtype)?, size(&base)?);
    if parts.is_empty() || step == 0 {
        return Ok(());
    }
    for at in (0..whole).step_by(step) {
        stretches.extend(parts.iter().map(|part| Stretch {
            start: start + at + part.start,
            end: start + at + part.end,
            big_endian: part.big_endian,
        }));
    }
    Ok(())
}

fn size(dtype: &Bound<'_, PyAny>) -> PyResult<usize> {
    dtype.getattr(intern!(dtype.py(), "itemsize"))?.extract()
}
