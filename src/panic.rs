//! The chip's panic handler: none. It calls what nobody defines, so that a firmware links only
//! while no panic can be reached.

#[panic_handler]
#[allow(unsafe_code)]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn maix_kpu_a_panic_can_be_reached() -> !;
    }
    // SAFETY: never linked, so never called.
    unsafe { maix_kpu_a_panic_can_be_reached() }
}
