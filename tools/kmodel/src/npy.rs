//! Arrays that numpy saved (.npy, versions 1 to 3).

use crate::failure::{Failure, Result};
use maix_kpu::tensor::Dtype;

/// The values of an array, in C order.
pub enum Values {
    /// `uint8`.
    Bytes(Vec<u8>),
    /// `float32`, or `float64` and the small integers made to it.
    Floats(Vec<f32>),
}

/// An array.
pub struct Array {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Values,
}

/// Reads an array.
pub fn parse(file: &[u8]) -> Result<Array> {
    let damaged = || Failure::new("not a whole .npy file", "save it again with numpy.save");
    let version = match file.get(..8) {
        Some([0x93, b'N', b'U', b'M', b'P', b'Y', major, _]) => *major,
        _ => return Err(damaged()),
    };
    let size = if version == 1 { 2 } else { 4 };
    let mut len = [0; 4];
    len[..size].copy_from_slice(file.get(8..8 + size).ok_or_else(damaged)?);
    let begin = 8 + size;
    let end = begin.saturating_add(u32::from_le_bytes(len) as usize);
    let header = file.get(begin..end).ok_or_else(damaged)?;
    let header = str::from_utf8(header).map_err(|_| damaged())?;
    if field(header, "fortran_order").is_none_or(|value| value.starts_with("True")) {
        return Err(Failure::new(
            "the .npy array is in Fortran order",
            "save numpy.ascontiguousarray(array)",
        ));
    }
    let shape = shape(header).ok_or_else(damaged)?;
    let elements = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
    let data = &file[end..];
    let dtype = field(header, "descr")
        .and_then(|value| value.strip_prefix(['\'', '"']))
        .and_then(|value| value.split(['\'', '"']).next())
        .ok_or_else(damaged)?;
    let values = match dtype {
        "|u1" => Values::Bytes(data.to_vec()),
        "<f4" => Values::Floats(floats(data, f32::from_le_bytes)),
        "<f8" => Values::Floats(floats(data, |b| f64::from_le_bytes(b) as f32)),
        "<i4" => Values::Floats(floats(data, |b| i32::from_le_bytes(b) as f32)),
        "<i8" => Values::Floats(floats(data, |b| i64::from_le_bytes(b) as f32)),
        other => {
            return Err(Failure::new(
                format!("the .npy array has element type {other}"),
                "save it as uint8 or float32: array.astype(numpy.float32)",
            ));
        }
    };
    let count = match &values {
        Values::Bytes(bytes) => bytes.len(),
        Values::Floats(floats) => floats.len(),
    };
    if elements != Some(count) {
        return Err(damaged());
    }
    Ok(Array { shape, values })
}

/// An array file of little-endian values in C order.
pub fn write(shape: &[usize], dtype: Dtype, values: &[u8]) -> Vec<u8> {
    let descr = match dtype {
        Dtype::U8 => "|u1",
        Dtype::F32 => "<f4",
    };
    let dims: String = shape.iter().map(|dim| format!("{dim}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    // The values begin at a multiple of 64.
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(values);
    file
}

fn floats<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| value(*bytes)).collect()
}

/// What stands behind a key of the header.
fn field<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (dims, _) = field(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    let dims = dims.split(',').map(str::trim).filter(|dim| !dim.is_empty());
    dims.map(|dim| dim.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn arrays_are_read() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }\n";
        let array = parse(&file(header, &[0, 0, 128, 63, 0, 0, 0, 192])).unwrap();
        assert_eq!(array.shape, [2, 1]);
        assert!(matches!(array.values, Values::Floats(values) if values == [1.0, -2.0]));
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n";
        let array = parse(&file(header, &[7, 8, 9])).unwrap();
        assert!(matches!(array.values, Values::Bytes(values) if values == [7, 8, 9]));
    }

    #[test]
    fn what_is_written_is_read() {
        let file = write(&[1, 3], Dtype::U8, &[7, 8, 9]);
        let array = parse(&file).unwrap();
        assert_eq!((file.len() - 3) % 64, 0);
        assert_eq!(array.shape, [1, 3]);
        assert!(matches!(array.values, Values::Bytes(values) if values == [7, 8, 9]));
    }

    #[test]
    fn other_files_are_refused() {
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n";
        for bad in [
            file(header, &[7, 8]),
            file(&header.replace("False", "True"), &[7, 8, 9]),
            file(&header.replace("|u1", "<c8"), &[7, 8, 9]),
            file(header, &[])[..20].to_vec(),
            b"\x93NUMPY".to_vec(),
        ] {
            assert!(parse(&bad).is_err());
        }
    }
}
