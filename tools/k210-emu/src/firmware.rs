//! Firmware images: ELF files and flat binaries, and the symbols of the former.

use anyhow::{Context, Result, bail, ensure};
use object::{
    Object, ObjectSymbol, SymbolKind,
    elf::{self, FileHeader64},
    endian::LittleEndian,
    read::elf::{ElfFile64, FileHeader, ProgramHeader},
};

use crate::memory::{CACHED, Memory};

/// A program in RAM.
pub struct Firmware {
    /// Address of the first instruction.
    pub entry: u64,
    /// Address and size of what was loaded, piece by piece.
    pub segments: Vec<(u64, usize)>,
    /// Names of addresses; empty for a flat binary.
    pub symbols: Symbols,
}

impl Firmware {
    /// Copies the program in `file` (ELF, or a flat image for 0x80000000) to RAM.
    pub fn load(file: &[u8], memory: &mut Memory) -> Result<Self> {
        if file.starts_with(&elf::ELFMAG) {
            Self::load_elf(file, memory)
        } else {
            Self::load_bin(file, memory)
        }
    }

    fn load_bin(file: &[u8], memory: &mut Memory) -> Result<Self> {
        ensure!(!file.is_empty(), "the firmware is empty");
        place(memory, CACHED, file)?;
        let segments = vec![(CACHED, file.len())];
        Ok(Self { entry: CACHED, segments, symbols: Symbols::default() })
    }

    fn load_elf(file: &[u8], memory: &mut Memory) -> Result<Self> {
        let elf = ElfFile64::<LittleEndian>::parse(file)
            .context("not a 64-bit little-endian ELF file, as the K210 wants")?;
        let header: &FileHeader64<LittleEndian> = elf.elf_header();
        let machine = header.e_machine(LittleEndian);
        if machine != elf::EM_RISCV {
            bail!("made for machine {machine}, the K210 is RISC-V ({})", elf::EM_RISCV);
        }
        let mut segments = Vec::new();
        for header in elf.elf_program_headers() {
            let data = header.data(LittleEndian, file).ok().context("a segment is cut off")?;
            if header.p_type(LittleEndian) == elf::PT_LOAD && !data.is_empty() {
                let address = header.p_paddr(LittleEndian);
                place(memory, address, data)?;
                segments.push((address, data.len()));
            }
        }
        ensure!(!segments.is_empty(), "the ELF file has nothing to load");
        Ok(Self { entry: elf.entry(), segments, symbols: Symbols::of(&elf) })
    }
}

fn place(memory: &mut Memory, address: u64, data: &[u8]) -> Result<()> {
    memory
        .get_mut(address, data.len())
        .with_context(|| {
            format!("{} bytes at {address:#x} do not fit in RAM (8 MiB at {CACHED:#x})", data.len())
        })?
        .copy_from_slice(data);
    Ok(())
}

/// Functions and data of a program by address.
#[derive(Default)]
pub struct Symbols {
    /// Sorted by address.
    table: Vec<Symbol>,
}

/// A name of an address.
pub struct Symbol {
    /// Where it begins.
    pub address: u64,
    /// Its name, as in the file.
    pub name: String,
}

impl Symbols {
    fn of(elf: &ElfFile64<'_, LittleEndian>) -> Self {
        let mut table: Vec<_> = elf
            .symbols()
            .filter(|s| {
                matches!(s.kind(), SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown)
            })
            .filter(|s| s.is_definition() || s.kind() == SymbolKind::Unknown && !s.is_undefined())
            .filter_map(|s| {
                Some((
                    s.kind() != SymbolKind::Text,
                    Symbol { address: s.address(), name: s.name().ok()?.to_owned() },
                ))
            })
            // Linker-made and local labels say nothing to a reader.
            .filter(|(_, s)| !s.name.is_empty() && !s.name.starts_with(['.', '$']))
            .collect();
        // Of several names for one address, functions go first.
        table.sort_by(|(a_rank, a), (b_rank, b)| (a.address, a_rank).cmp(&(b.address, b_rank)));
        table.dedup_by_key(|(_, s)| s.address);
        Self { table: table.into_iter().map(|(_, s)| s).collect() }
    }

    /// The symbol that `address` belongs to: its index, and how far behind its start.
    pub fn find(&self, address: u64) -> Option<(usize, u64)> {
        let index = self.table.partition_point(|s| s.address <= address).checked_sub(1)?;
        Some((index, address - self.table[index].address))
    }

    /// The symbols, sorted by address.
    pub fn table(&self) -> &[Symbol] {
        &self.table
    }

    /// Where the symbol `name` is.
    pub fn address(&self, name: &str) -> Option<u64> {
        self.table.iter().find(|symbol| symbol.name == name).map(|symbol| symbol.address)
    }

    /// An address for a reader: `0x80001234 (main+0x10)`.
    pub fn describe(&self, address: u64) -> String {
        match self.find(address) {
            Some((index, offset)) => {
                format!("{address:#x} ({}+{offset:#x})", self.table[index].name)
            }
            None => format!("{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_images_go_to_the_start_of_ram() {
        let mut memory = Memory::new();
        let firmware = Firmware::load(&[0x13, 0, 0, 0], &mut memory).unwrap();
        assert_eq!((firmware.entry, firmware.segments), (CACHED, vec![(CACHED, 4)]));
        assert_eq!(memory.get(CACHED, 1), Some(&[0x13][..]));
        assert_eq!(firmware.symbols.describe(CACHED), "0x80000000");
    }

    #[test]
    fn bad_images_are_errors() {
        let mut memory = Memory::new();
        let mut error =
            |file: &[u8]| format!("{:#}", Firmware::load(file, &mut memory).err().unwrap());
        assert!(error(&[]).contains("empty"));
        assert!(error(b"\x7fELF\x01\x01\x01").contains("64-bit"));
        assert!(error(&vec![1; crate::memory::BYTES + 1]).contains("do not fit"));
    }

    #[test]
    fn addresses_have_the_name_before_them() {
        let symbol = |address, name: &str| Symbol { address, name: name.into() };
        let symbols = Symbols { table: vec![symbol(16, "a"), symbol(32, "b")] };
        assert_eq!(symbols.describe(8), "0x8");
        assert_eq!(symbols.describe(31), "0x1f (a+0xf)");
        assert_eq!(symbols.describe(32), "0x20 (b+0x0)");
    }
}
