//! What our tools know about a model and other runtimes do not read: a block behind its last byte.
//!
//! Layout (docs/formats.md, section metadata), little-endian: the bytes `KMETA\0\0\x01`, u32 number
//! of bytes of all entries, u32 CRC-32 of them, then the entries: u32 tag, u32 length, the content.
//! Unknown tags are skipped.

use super::{
    reader::{Field, Reader, Sink},
    source::{Source, Span},
};
use crate::{crc::CRC, error::Result};

const MAGIC: [u8; 8] = *b"KMETA\0\0\x01";
const LABELS: u32 = 1;
const ANCHORS: u32 = 2;
const INPUT_RANGE: u32 = 3;
const NOTE: u32 = 4;

/// The metadata of a model; what is not there is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Names of the classes, UTF-8, one a line.
    pub labels: Span,
    /// Anchors of a detector: pairs of f32.
    pub anchors: Span,
    /// Real values that pixel bytes 0 and 255 stand for.
    pub input_range: Option<(f32, f32)>,
    /// A note, UTF-8.
    pub note: Span,
    /// Bytes of the whole block.
    pub size: usize,
}

/// Metadata to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'c> {
    /// Names of the classes, one a line.
    pub labels: &'c str,
    /// Anchors of a detector.
    pub anchors: &'c [f32],
    /// Real values that pixel bytes 0 and 255 stand for.
    pub input_range: Option<(f32, f32)>,
    /// A note.
    pub note: &'c str,
}

impl Metadata {
    /// The block at `offset`; a damaged one counts as none, for these bytes belong to no format.
    pub fn find(source: &dyn Source, offset: usize) -> Self {
        Self::read(source, offset).ok().flatten().unwrap_or_default()
    }

    fn read(source: &dyn Source, offset: usize) -> Result<Option<Self>> {
        let mut reader = Reader::new(source, offset, source.len());
        let mut magic = [0; MAGIC.len()];
        reader.fill(&mut magic);
        if magic != MAGIC {
            return Ok(None);
        }
        let [len, crc]: [u32; 2] = reader.field();
        let len = len as usize;
        let entries = reader.take(len);
        reader.done()?;
        if checksum(source, entries)? != crc {
            return Ok(None);
        }
        let mut reader = Reader::of(source, entries);
        let mut metadata = Self { size: entries.offset + len - offset, ..Self::default() };
        while reader.remaining() > 0 {
            let [tag, len]: [u32; 2] = reader.field();
            let content = reader.take(len as usize);
            match tag {
                LABELS => metadata.labels = content,
                ANCHORS => metadata.anchors = content,
                NOTE => metadata.note = content,
                INPUT_RANGE => {
                    let mut pair = Reader::of(source, content);
                    metadata.input_range = Some(pair.field::<[f32; 2]>().into());
                    pair.done()?;
                }
                _ => {}
            }
        }
        reader.done()?;
        Ok(Some(metadata))
    }
}

fn checksum(source: &dyn Source, span: Span) -> Result<u32> {
    let mut reader = Reader::of(source, span);
    let mut digest = CRC.digest();
    while reader.remaining() > 0 {
        let mut byte = [0];
        reader.fill(&mut byte);
        digest.update(&byte);
    }
    reader.done()?;
    Ok(digest.finalize())
}

impl Content<'_> {
    /// Writes the block; it belongs at the offset that [`Model::size`](super::Model::size) gives.
    pub fn write(&self, sink: Sink<'_>) {
        let mut len = 0;
        let mut digest = CRC.digest();
        self.entries(&mut |bytes| {
            len += bytes.len() as u32;
            digest.update(bytes);
        });
        sink(&MAGIC);
        len.write(sink);
        digest.finalize().write(sink);
        self.entries(sink);
    }

    fn entries(&self, sink: Sink<'_>) {
        if !self.labels.is_empty() {
            entry(LABELS, self.labels.len(), sink);
            sink(self.labels.as_bytes());
        }
        if !self.anchors.is_empty() {
            entry(ANCHORS, self.anchors.len() * 4, sink);
            self.anchors.iter().for_each(|anchor| anchor.write(sink));
        }
        if let Some((low, high)) = self.input_range {
            entry(INPUT_RANGE, 8, sink);
            low.write(sink);
            high.write(sink);
        }
        if !self.note.is_empty() {
            entry(NOTE, self.note.len(), sink);
            sink(self.note.as_bytes());
        }
    }
}

fn entry(tag: u32, len: usize, sink: Sink<'_>) {
    tag.write(sink);
    (len as u32).write(sink);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(content: &Content<'_>) -> Vec<u8> {
        let mut file = vec![7; 24];
        content.write(&mut |bytes| file.extend(bytes));
        file
    }

    #[test]
    fn what_is_written_is_found() {
        let content = Content {
            labels: "cat\ndog",
            anchors: &[1.5, 2.0],
            input_range: Some((-1.0, 1.0)),
            note: "trained on photographs",
        };
        let file = block(&content);
        let found = Metadata::find(&&file[..], 24);
        assert_eq!(found.labels.of(&file), Ok(&b"cat\ndog"[..]));
        assert_eq!(found.anchors.len, 8);
        assert_eq!(found.input_range, Some((-1.0, 1.0)));
        assert_eq!(found.note.of(&file), Ok(&b"trained on photographs"[..]));
    }

    #[test]
    fn damage_and_absence_are_no_metadata() {
        let file = block(&Content { labels: "cat", ..Content::default() });
        for index in 24..file.len() {
            let mut damaged = file.clone();
            damaged[index] ^= 0x40;
            assert_eq!(Metadata::find(&&damaged[..], 24), Metadata::default(), "byte {index}");
        }
        assert_eq!(Metadata::find(&&file[..20], 24), Metadata::default());
    }
}
