//! A reader for flatbuffers that trusts nothing: every offset is checked where it is followed.

use crate::problem::Fault;

type Result<T> = std::result::Result<T, Fault>;

/// A table: fields are found by number through its vtable.
#[derive(Clone, Copy)]
pub struct Table<'b> {
    bytes: &'b [u8],
    at: usize,
    vtable: usize,
    fields: usize,
}

/// A vector of `len` elements that begins at `at`.
#[derive(Clone, Copy)]
pub struct Vector<'b> {
    bytes: &'b [u8],
    at: usize,
    len: usize,
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    at.checked_add(N).and_then(|end| bytes.get(at..end)).and_then(|b| b.try_into().ok()).ok_or_else(
        || Fault::damaged(format!("byte {at} is outside the file of {} bytes", bytes.len())),
    )
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(u32::from_le_bytes(take(bytes, at)?) as usize)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(usize::from(u16::from_le_bytes(take(bytes, at)?)))
}

impl<'b> Table<'b> {
    /// The table at the root of the file.
    pub fn root(bytes: &'b [u8]) -> Result<Self> {
        Self::new(bytes, u32_at(bytes, 0)?)
    }

    fn new(bytes: &'b [u8], at: usize) -> Result<Self> {
        let back = i64::from(i32::from_le_bytes(take(bytes, at)?));
        let vtable = usize::try_from(at as i64 - back)
            .map_err(|_| Fault::damaged(format!("the table at byte {at} has no vtable")))?;
        let fields = u16_at(bytes, vtable)?.saturating_sub(4) / 2;
        Ok(Self { bytes, at, vtable, fields })
    }

    /// Position of a field's value; `None` if the field has its default.
    fn field(&self, number: usize) -> Result<Option<usize>> {
        if number >= self.fields {
            return Ok(None);
        }
        let offset = u16_at(self.bytes, self.vtable + 4 + 2 * number)?;
        Ok((offset != 0).then_some(self.at + offset))
    }

    fn scalar<const N: usize, T>(
        &self,
        number: usize,
        default: T,
        read: fn([u8; N]) -> T,
    ) -> Result<T> {
        self.field(number)?.map_or(Ok(default), |at| Ok(read(take(self.bytes, at)?)))
    }

    /// A field of one byte.
    pub fn u8(&self, number: usize, default: u8) -> Result<u8> {
        self.scalar(number, default, u8::from_le_bytes)
    }

    /// A boolean field.
    pub fn bool(&self, number: usize) -> Result<bool> {
        Ok(self.u8(number, 0)? != 0)
    }

    /// A signed field of 32 bits.
    pub fn i32(&self, number: usize, default: i32) -> Result<i32> {
        self.scalar(number, default, i32::from_le_bytes)
    }

    /// An unsigned field of 32 bits.
    pub fn u32(&self, number: usize, default: u32) -> Result<u32> {
        self.scalar(number, default, u32::from_le_bytes)
    }

    /// An unsigned field of 64 bits.
    pub fn u64(&self, number: usize, default: u64) -> Result<u64> {
        self.scalar(number, default, u64::from_le_bytes)
    }

    /// A float field.
    pub fn f32(&self, number: usize, default: f32) -> Result<f32> {
        self.scalar(number, default, f32::from_le_bytes)
    }

    /// A field that is a table.
    pub fn table(&self, number: usize) -> Result<Option<Table<'b>>> {
        let Some(at) = self.field(number)? else { return Ok(None) };
        Table::new(self.bytes, at + u32_at(self.bytes, at)?).map(Some)
    }

    /// A field that is a vector; an absent one is empty.
    pub fn vector(&self, number: usize) -> Result<Vector<'b>> {
        let Some(at) = self.field(number)? else {
            return Ok(Vector { bytes: self.bytes, at: 0, len: 0 });
        };
        let at = at + u32_at(self.bytes, at)?;
        Ok(Vector { bytes: self.bytes, at: at + 4, len: u32_at(self.bytes, at)? })
    }

    /// A field that is a text.
    pub fn string(&self, number: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(self.vector(number)?.bytes()?).into_owned())
    }
}

impl<'b> Vector<'b> {
    fn slice(&self, element: usize) -> Result<&'b [u8]> {
        let end = self.len.checked_mul(element).and_then(|n| n.checked_add(self.at));
        end.and_then(|end| self.bytes.get(self.at..end))
            .ok_or_else(|| Fault::damaged(format!("the list at byte {} leaves the file", self.at)))
    }

    fn elements<const N: usize>(&self) -> Result<impl Iterator<Item = [u8; N]> + use<'b, N>> {
        Ok(self.slice(N)?.chunks_exact(N).map(|c| c.try_into().expect("chunks have N bytes")))
    }

    /// The elements as bytes.
    pub fn bytes(&self) -> Result<&'b [u8]> {
        self.slice(1)
    }

    /// The elements as numbers of 16 bits.
    pub fn u16s(&self) -> Result<Vec<u16>> {
        Ok(self.elements()?.map(u16::from_le_bytes).collect())
    }

    /// The elements as signed numbers of 32 bits.
    pub fn i32s(&self) -> Result<Vec<i32>> {
        Ok(self.elements()?.map(i32::from_le_bytes).collect())
    }

    /// The elements as signed numbers of 64 bits.
    pub fn i64s(&self) -> Result<Vec<i64>> {
        Ok(self.elements()?.map(i64::from_le_bytes).collect())
    }

    /// The elements as floats.
    pub fn f32s(&self) -> Result<Vec<f32>> {
        Ok(self.elements()?.map(f32::from_le_bytes).collect())
    }

    /// The elements as tables.
    pub fn tables(&self) -> Result<Vec<Table<'b>>> {
        self.elements()?
            .enumerate()
            .map(|(i, offset)| {
                let at = self.at + 4 * i + u32::from_le_bytes(offset) as usize;
                Table::new(self.bytes, at)
            })
            .collect()
    }
}
