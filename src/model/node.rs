//! Nodes and their bodies: both versions keep a table of headers, then the bodies one by one.

use super::{
    reader::{Field, Reader, Sink, body},
    source::Source,
};
use crate::error::{Error, Kind, Result, What};

body! {
    /// The header of a node.
    NodeHeader {
        /// Number of the operator.
        opcode: u32,
        /// Bytes of the body.
        body_size: u32,
    }
}

/// A checked node: its place in the file and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Node<O> {
    /// Position in the model.
    pub index: u32,
    /// File offset of the body.
    pub offset: usize,
    /// Bytes of the body.
    pub size: usize,
    /// What it does.
    pub operator: O,
}

impl<O> Node<O> {
    /// The same place with another operator.
    pub(super) fn with<P>(self, operator: impl FnOnce(O) -> P) -> Node<P> {
        let Self { index, offset, size, operator: own } = self;
        Node { index, offset, size, operator: operator(own) }
    }
}

/// Where a node's body lies.
pub(super) struct Body {
    pub index: u32,
    pub opcode: u32,
    pub begin: usize,
    pub end: usize,
}

impl Body {
    /// Makes the node of what `operator` reads from the body; errors tell the place.
    pub fn read<O>(
        &self,
        source: &dyn Source,
        operator: impl FnOnce(u32, &mut Reader<'_>) -> Result<O>,
    ) -> Result<Node<O>> {
        let operator = operator(self.opcode, &mut Reader::new(source, self.begin, self.end))
            .map_err(|e| e.at_node(self.index).at(self.begin as u64))?;
        Ok(Node { index: self.index, offset: self.begin, size: self.end - self.begin, operator })
    }
}

/// Bytes of padding that a file may lack at its end.
const MISSING_PADDING: usize = 7;

/// Walks the bodies.
pub(super) struct Bodies<'s> {
    source: &'s dyn Source,
    index: u32,
    count: u32,
    headers: Reader<'s>,
    body: usize,
}

impl<'s> Bodies<'s> {
    /// The bodies of `count` nodes whose headers stand at `headers` and bodies at `bodies`.
    pub fn new(source: &'s dyn Source, count: u32, headers: usize, bodies: usize) -> Self {
        let headers = Reader::new(source, headers, bodies);
        Self { source, index: 0, count, headers, body: bodies }
    }

    /// The byte behind the last body.
    pub fn end(mut self) -> Result<usize> {
        self.try_fold(self.body, |_, body| body.map(|b| b.end))
    }

    fn next_body(&mut self) -> Result<Body> {
        let NodeHeader { opcode, body_size } = self.headers.checked()?;
        let begin = self.body;
        let end = begin.saturating_add(body_size as usize);
        let missing = end.saturating_sub(self.source.len());
        let is_last = self.index + 1 == self.count;
        if missing > 0 && (missing > MISSING_PADDING || !is_last) {
            return Err(Error::about(Kind::Truncated, What::Body, [missing as u64, 0])
                .at_node(self.index)
                .at(self.source.len() as u64));
        }
        self.body = end;
        Ok(Body { index: self.index, opcode, begin, end })
    }
}

impl Iterator for Bodies<'_> {
    type Item = Result<Body>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            return None;
        }
        let body = self.next_body();
        self.index = if body.is_ok() { self.index + 1 } else { self.count };
        Some(body)
    }
}
