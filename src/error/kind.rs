//! The kinds of errors: number, text and hint of each. Their table is `kinds.rs`, which `build.rs`
//! reads, too.

/// The number that MaixPy gives an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    /// A parameter of the call is wrong.
    Param = 2001,
    /// Not a kmodel of a version that this library runs.
    Version = 2002,
    /// A kmodel whose content is not valid.
    Format = 2003,
    /// Encrypted.
    Decrypt = 2004,
    /// The file or flash could not be read.
    Read = 2005,
    /// Not enough memory.
    NoMemory = 2006,
    /// The first layer does not take an image.
    FirstLayer = 2007,
    /// The run failed.
    Run = 2008,
    /// Too many models are loaded.
    ModelsFull = 2009,
    /// Not permitted.
    Permission = 2010,
    /// An index is out of range.
    Index = 2011,
    /// Sizes do not match.
    Size = 2012,
    /// The shapes of the outputs are not set.
    OutputsNotSet = 2013,
    /// Not implemented.
    NotImplemented = 2014,
    /// None of the others.
    Unknown = 2015,
}

macro_rules! kinds {
    ($($kind:ident, $code:ident, $text:literal, $hint:literal;)*) => {
        /// What went wrong: the rows of the error table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Kind { $(#[doc = $text] $kind,)* }

        impl Kind {
            /// All kinds, in the order of the table.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)*];

            /// The kind's name, as in docs/errors.md.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$kind => stringify!($kind),)* }
            }

            /// MaixPy's number.
            pub fn code(self) -> Code {
                const CODES: &[Code] = &[$(Code::$code,)*];
                CODES.get(self as usize).copied().unwrap_or(Code::Unknown)
            }

            /// The text; `{what}`, `{0}` and `{1}` stand for [`Error::what`](super::Error::what) and
            /// [`Error::values`](super::Error::values).
            pub const fn text(self) -> &'static str {
                match self { $(Kind::$kind => $text,)* }
            }

            /// What the user can do; may be empty.
            pub const fn hint(self) -> &'static str {
                match self { $(Kind::$kind => $hint,)* }
            }
        }
    };
}

include!("kinds.rs");
