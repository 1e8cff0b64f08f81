//! Where a model's bytes come from: the host's memory, our own, or a reader.

use super::{
    header::maix_kpu_reader_t,
    memory::Block,
    services::{HostFile, HostFlash, go_on},
};
use crate::{
    error::{Error, Kind, Result, What},
    model::Source,
};
use core::cell::RefCell;

/// Bytes read at once while the host may want to stop.
const PIECE: usize = 64 * 1024;
/// Bytes that a stream reads ahead, for the fields of nodes.
const WINDOW: usize = 256;

/// The bytes of a model.
#[allow(clippy::large_enum_variant)] // there is one for each opened model
pub(super) enum Bytes {
    /// In the host's memory.
    Borrowed(&'static [u8]),
    /// In our own.
    Read(Block<u8>),
    /// Elsewhere.
    Streamed(Stream),
}

impl Source for Bytes {
    fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::Read(bytes) => bytes.len(),
            Self::Streamed(stream) => stream.len(),
        }
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        match self {
            Self::Streamed(stream) => stream.read(offset, out),
            _ => self.bytes().unwrap_or_default().read(offset, out),
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Borrowed(bytes) => Some(bytes),
            Self::Read(bytes) => Some(bytes),
            Self::Streamed(_) => None,
        }
    }
}

/// Who reads.
pub(super) enum Reader {
    File(HostFile),
    Flash(HostFlash),
    Host(maix_kpu_reader_t),
}

impl Reader {
    fn size(&self) -> usize {
        match self {
            Self::File(file) => file.size,
            Self::Flash(flash) => flash.size,
            Self::Host(reader) => reader.size,
        }
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        match self {
            Self::File(file) => file.read(offset, out),
            Self::Flash(flash) => flash.read(offset, out),
            Self::Host(reader) => reader.read.is_some_and(|read| {
                // SAFETY: the host's own function with its own context.
                unsafe { read(reader.context, offset, out.as_mut_ptr().cast(), out.len()) }
            }),
        }
    }
}

/// Bytes that are read when they are wanted.
pub(super) struct Stream {
    reader: Reader,
    /// The bytes of every group of four stand in reverse, as the original load_flash wants them.
    swapped: bool,
    window: RefCell<Window>,
}

struct Window {
    /// Offset of the first byte; none before the first read.
    begin: Option<usize>,
    bytes: [u8; WINDOW],
}

impl Stream {
    pub(super) fn new(reader: Reader) -> Self {
        let window = RefCell::new(Window { begin: None, bytes: [0; WINDOW] });
        Self { reader, swapped: false, window }
    }

    /// From now on the bytes are reversed in groups of four.
    pub(super) fn swap(&mut self) {
        self.swapped = true;
        self.window.get_mut().begin = None;
    }

    /// Fills `out`, which begins and ends at a multiple of 4 where groups are reversed.
    fn fetch(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let mut at = offset;
        for piece in out.chunks_mut(PIECE) {
            if piece.len() == PIECE {
                go_on()?;
            }
            if !self.reader.read(at, piece) {
                return Err(Error::about(Kind::Read, What::Model, [at as u64, 0]).at(at as u64));
            }
            if self.swapped {
                reverse_groups(piece);
            }
            at += piece.len();
        }
        Ok(())
    }

    /// Copies what the window around `offset` holds of `out`; returns how much that was.
    fn window_part(&self, offset: usize, out: &mut [u8]) -> Result<usize> {
        let mut window = self.window.try_borrow_mut().map_err(|_| Error::new(Kind::Running))?;
        let begin = offset & !(WINDOW - 1);
        let Window { begin: has, bytes } = &mut *window;
        let end = self.len().saturating_sub(begin).min(WINDOW);
        let bytes = bytes.get_mut(..end).unwrap_or_default();
        if *has != Some(begin) {
            *has = None;
            self.fetch(begin, bytes)?;
            *has = Some(begin);
        }
        let rest = bytes.get(offset - begin..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out.iter_mut().zip(rest).for_each(|(out, &byte)| *out = byte);
        Ok(count)
    }
}

/// Reverses every group of four bytes.
pub(super) fn reverse_groups(bytes: &mut [u8]) {
    bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|group| group.reverse());
}

impl Source for Stream {
    fn len(&self) -> usize {
        let size = self.reader.size();
        if self.swapped { size & !3 } else { size }
    }

    fn read(&self, mut offset: usize, mut out: &mut [u8]) -> Result<()> {
        if self.len().checked_sub(out.len()).is_none_or(|last| offset > last) {
            let missing = offset.saturating_add(out.len()).saturating_sub(self.len());
            return Err(
                Error::about(Kind::Truncated, What::Field, [missing as u64, 0]).at(offset as u64)
            );
        }
        while !out.is_empty() {
            let direct = match offset.is_multiple_of(4) {
                true if out.len() >= WINDOW => out.len() & !3,
                _ => 0,
            };
            let done = match out.split_at_mut_checked(direct) {
                Some((head, _)) if direct > 0 => {
                    self.fetch(offset, head)?;
                    direct
                }
                _ => self.window_part(offset, out)?,
            };
            if done == 0 {
                return Err(Error::about(Kind::Read, What::Model, [offset as u64, 0]));
            }
            offset += done;
            out = out.get_mut(done..).unwrap_or_default();
        }
        Ok(())
    }
}
