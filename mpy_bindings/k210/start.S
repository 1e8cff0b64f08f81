# The first instructions: stack, thread-local storage, zeroed memory, floats on; then main. The
# second core sleeps.
    .section .text.start, "ax"
    .globl _start
_start:
    csrw mie, zero
    csrr t0, mhartid
    bnez t0, 2f
    la t0, chip_trap
    csrw mtvec, t0
    li t0, 0x6000           # mstatus.FS: registers and CSRs of floats may be used
    csrs mstatus, t0
    fscsr zero
    la sp, _stack_top
    la tp, _tls_start
    la t0, _zero_start
    la t1, _zero_end
1:  sd zero, 0(t0)
    addi t0, t0, 8
    bltu t0, t1, 1b
    call main
2:  wfi
    j 2b
