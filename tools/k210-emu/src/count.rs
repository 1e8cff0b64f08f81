//! Counts instructions, in all and by function.

use std::{fmt::Write as _, rc::Rc};

use crate::{firmware::Symbols, memory::Memory};

/// Entries of the cache of blocks; a power of two.
const CACHE: usize = 1 << 16;

/// A block of code that has been looked at.
#[derive(Clone, Copy, Default)]
struct Block {
    address: u64,
    size: u32,
    instructions: u32,
    symbol: Option<u32>,
}

/// A function outside of which nothing is counted.
struct Scope {
    name: String,
    address: u64,
    /// Where the running call returns to, and the stack pointer there.
    returns: Option<(u64, u64)>,
    /// Counts at the ends of the calls.
    ends: Vec<u64>,
}

/// Where the instructions went.
pub struct Counter {
    symbols: Rc<Symbols>,
    run: u64,
    total: u64,
    by_symbol: Vec<u64>,
    nameless: u64,
    cache: Vec<Block>,
    scope: Option<Scope>,
}

impl Counter {
    /// Nothing counted yet.
    pub fn new(symbols: Rc<Symbols>) -> Self {
        let by_symbol = vec![0; symbols.table().len()];
        Self {
            symbols,
            run: 0,
            total: 0,
            by_symbol,
            nameless: 0,
            cache: vec![Block::default(); CACHE],
            scope: None,
        }
    }

    /// Counts only inside the function `name` and what it calls; false if there is none.
    pub fn count_in(&mut self, name: &str) -> bool {
        self.scope = self.symbols.address(name).map(|address| Scope {
            name: name.to_owned(),
            address,
            returns: None,
            ends: Vec::new(),
        });
        self.scope.is_some()
    }

    /// A block of code, `size` bytes at `address`, is run; `place` tells the return address and the
    /// stack pointer.
    pub fn add(
        &mut self,
        address: u64,
        size: u32,
        memory: &Memory,
        place: impl FnOnce() -> (u64, u64),
    ) {
        let block = self.look_up(address, size, memory);
        let count = u64::from(block.instructions);
        self.run += count;
        if self.is_inside(address, place) {
            self.total += count;
            *self.place(block.symbol) += count;
        }
    }

    /// The end of a block that began at `block` was not run: `size` bytes at `address`.
    pub fn take_back(&mut self, block: u64, address: u64, size: u32, memory: &Memory) {
        let count = u64::from(instructions(address, size, memory));
        self.run -= count;
        if self.scope.as_ref().is_none_or(|scope| scope.returns.is_some()) {
            let symbol = self.symbols.find(block).map(|(index, _)| index as u32);
            self.total -= count;
            *self.place(symbol) -= count;
        }
    }

    /// Whether a block at `address` is inside the function that is counted.
    fn is_inside(&mut self, address: u64, place: impl FnOnce() -> (u64, u64)) -> bool {
        let Some(scope) = &mut self.scope else { return true };
        match scope.returns {
            None if address == scope.address => scope.returns = Some(place()),
            Some((returns, stack)) if address == returns && place().1 == stack => {
                scope.returns = None;
                scope.ends.push(self.total);
            }
            _ => {}
        }
        scope.returns.is_some()
    }

    fn place(&mut self, symbol: Option<u32>) -> &mut u64 {
        match symbol {
            Some(index) => &mut self.by_symbol[index as usize],
            None => &mut self.nameless,
        }
    }

    fn look_up(&mut self, address: u64, size: u32, memory: &Memory) -> Block {
        let slot = (address >> 1) as usize % CACHE;
        let cached = self.cache[slot];
        if (cached.address, cached.size) == (address, size) {
            return cached;
        }
        let block = Block {
            address,
            size,
            instructions: instructions(address, size, memory),
            symbol: self.symbols.find(address).map(|(index, _)| index as u32),
        };
        self.cache[slot] = block;
        block
    }

    /// Instructions that were run, whether they count or not.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// A table of the functions, the busiest first.
    pub fn report(&self) -> String {
        let total = self.total;
        let named = self.symbols.table().iter().map(|s| s.name.as_str());
        let mut rows: Vec<_> = named.zip(self.by_symbol.iter().copied()).collect();
        rows.push(("(no symbol)", self.nameless));
        rows.retain(|&(_, count)| count > 0);
        rows.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
        let mut text = format!("{total:>14}         instructions\n");
        if let Some(scope) = &self.scope {
            let begins = std::iter::once(&0).chain(&scope.ends);
            for (n, (begin, end)) in begins.zip(&scope.ends).enumerate() {
                let _ = writeln!(text, "{:>14}         call {n} of {}", end - begin, scope.name);
            }
        }
        for (name, count) in rows {
            let share = count as f64 / total as f64 * 100.0;
            let _ = writeln!(text, "{count:>14} {share:>6.2}% {name}");
        }
        text
    }
}

/// Number of instructions in a piece of code: those whose two lowest bits are 3 have four bytes.
fn instructions(address: u64, size: u32, memory: &Memory) -> u32 {
    let mut rest = memory.get(address, size as usize).unwrap_or(&[]);
    let mut count = 0;
    while let Some(first) = rest.first() {
        let length = if first & 3 == 3 { 4 } else { 2 };
        rest = rest.get(length..).unwrap_or(&[]);
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::CACHED;

    #[test]
    fn long_and_short_instructions_count_once() {
        let mut memory = Memory::new();
        // addi; c.nop; addi
        let code = [0x13, 0, 0, 0, 1, 0, 0x13, 0, 0, 0];
        memory.get_mut(CACHED, code.len()).unwrap().copy_from_slice(&code);
        let mut counter = Counter::new(Rc::default());
        for (address, size) in [(CACHED, 10), (CACHED, 10), (CACHED + 4, 2)] {
            counter.add(address, size, &memory, || (0, 0));
        }
        assert_eq!(counter.run(), 7);
        counter.take_back(CACHED, CACHED + 4, 6, &memory);
        assert_eq!(counter.run(), 5);
        assert!(counter.report().contains("5 100.00% (no symbol)"));
    }
}
