//! What the host does for the library.

use super::{
    errors::{Global, wrap},
    get,
    header::maix_kpu_services_t,
    null,
};
use crate::error::{Error, Kind, Result, What};
use core::ptr::NonNull;
use cty::{c_int, c_void};

static SERVICES: Global<Option<maix_kpu_services_t>> = Global::new(None);

/// See the header.
///
/// # Safety
/// `services` points to services that keep their promises.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_start(services: *const maix_kpu_services_t) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promise.
        let services = unsafe { get(What::Services, services) }?;
        if services.allocate.is_none() || services.release.is_none() {
            return Err(null(What::ServiceForMemory));
        }
        SERVICES.set(Some(*services));
        Ok(())
    })
}

/// As [`maix_kpu_start`], but services that are there stay.
#[cfg(feature = "dropin")]
pub(super) fn start_unless_started(services: &maix_kpu_services_t) {
    if self::services().is_err() {
        SERVICES.set(Some(*services));
    }
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn maix_kpu_stop() {
    super::accelerator::stop();
    SERVICES.set(None);
}

/// The services, for copying what a call needs.
fn services() -> Result<&'static maix_kpu_services_t> {
    // SAFETY: no user keeps the reference while a service runs, and only the host's own calls set
    // services.
    unsafe { SERVICES.borrow() }.as_ref().ok_or(Error::new(Kind::NotStarted))
}

/// Memory of the host; `None` where there is none.
pub(super) fn allocate(bytes: usize, alignment: usize) -> Result<NonNull<u8>> {
    let maix_kpu_services_t { allocate, context, .. } = *services()?;
    let allocate = allocate.ok_or_else(|| null(What::ServiceForMemory))?;
    // SAFETY: the host's own function with its own context.
    let memory = unsafe { allocate(context, bytes, alignment) }.cast::<u8>();
    NonNull::new(memory)
        .ok_or_else(|| Error::about(Kind::Allocate, What::Nothing, [bytes as u64, 0]))
}

/// Gives memory back.
///
/// # Safety
/// It came from [`allocate`] and is no longer used.
#[inline(never)]
pub(super) unsafe fn release(memory: *mut u8) {
    if let Ok(&maix_kpu_services_t { release: Some(release), context, .. }) = services() {
        // SAFETY: the host's own function with its own context and memory.
        unsafe { release(context, memory.cast()) }
    }
}

/// Shows a line.
pub(super) fn print(text: &[u8]) {
    if let Ok(&maix_kpu_services_t { print: Some(print), context, .. }) = services() {
        // SAFETY: the host's own function with its own context.
        unsafe { print(context, text.as_ptr().cast(), text.len()) }
    }
}

/// Microseconds since some moment; 0 without a clock.
pub(super) fn microseconds() -> u64 {
    match services() {
        Ok(&maix_kpu_services_t { microseconds: Some(now), context, .. }) => {
            // SAFETY: the host's own function with its own context.
            unsafe { now(context) }
        }
        _ => 0,
    }
}

/// An error where the host wants to stop.
pub(super) fn go_on() -> Result<()> {
    if let Ok(&maix_kpu_services_t { interrupted: Some(interrupted), context, .. }) = services() {
        // SAFETY: the host's own function with its own context.
        if unsafe { interrupted(context) } {
            return Err(Error::new(Kind::Interrupted));
        }
    }
    Ok(())
}

/// Reads into memory of the library from an offset of a file.
type ReadFile = unsafe extern "C" fn(
    context: *mut c_void,
    file: *mut c_void,
    offset: usize,
    bytes: *mut c_void,
    length: usize,
) -> bool;

/// An open file of the host.
pub(super) struct HostFile {
    context: *mut c_void,
    file: *mut c_void,
    read: Option<ReadFile>,
    close: Option<unsafe extern "C" fn(context: *mut c_void, file: *mut c_void)>,
    pub(super) size: usize,
}

impl HostFile {
    /// Opens a file.
    ///
    /// # Safety
    /// `path` is a C string.
    pub(super) unsafe fn open(path: *const cty::c_char) -> Result<Self> {
        let maix_kpu_services_t { context, open_file, read_file: read, close_file: close, .. } =
            *services()?;
        let open = open_file.ok_or(Error::of(Kind::NoService, What::Files))?;
        let mut size = 0;
        // SAFETY: the host's own function with its own context; the path is the caller's promise.
        let file = unsafe { open(context, path, &raw mut size) };
        match file.is_null() {
            true => Err(Error::new(Kind::OpenFile)),
            false => Ok(Self { context, file, read, close, size }),
        }
    }

    /// Fills `bytes`; whether that worked.
    pub(super) fn read(&self, offset: usize, bytes: &mut [u8]) -> bool {
        self.read.is_some_and(|read| {
            // SAFETY: the host's own function with its own context and file.
            unsafe { read(self.context, self.file, offset, bytes.as_mut_ptr().cast(), bytes.len()) }
        })
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        if let Some(close) = self.close {
            // SAFETY: the host's own function with its own context and file.
            unsafe { close(self.context, self.file) }
        }
    }
}

/// Reads into memory of the library from a flash address.
type ReadFlash = unsafe extern "C" fn(
    context: *mut c_void,
    address: u32,
    bytes: *mut c_void,
    length: usize,
) -> bool;

/// Flash memory from an address on.
pub(super) struct HostFlash {
    context: *mut c_void,
    read: ReadFlash,
    address: u32,
    pub(super) size: usize,
}

impl HostFlash {
    /// Flash memory from `address` to its end.
    pub(super) fn at(address: u32) -> Result<Self> {
        let maix_kpu_services_t { context, read_flash, flash_size, .. } = *services()?;
        let read = read_flash.ok_or(Error::of(Kind::NoService, What::FlashMemory))?;
        match flash_size.checked_sub(address) {
            Some(size) if size > 0 => Ok(Self { context, read, address, size: size as usize }),
            _ => Err(Error::about(
                Kind::FlashAddress,
                What::Nothing,
                [address.into(), flash_size.into()],
            )),
        }
    }

    /// Fills `bytes`; whether that worked.
    pub(super) fn read(&self, offset: usize, bytes: &mut [u8]) -> bool {
        let Ok(offset) = u32::try_from(offset) else { return false };
        let address = self.address.wrapping_add(offset);
        // SAFETY: the host's own function with its own context.
        unsafe { (self.read)(self.context, address, bytes.as_mut_ptr().cast(), bytes.len()) }
    }
}
