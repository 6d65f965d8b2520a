/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the reset vector to C, and the way in for interrupts.
 *
 * The processor starts in real mode at 0xfffffff0 with the code segment's hidden base at
 * 0xffff0000 (Intel SDM vol. 3, "First Instruction Executed"), so the boot block lies at offset
 * 0xff00 of that segment. Flat 32-bit segments with the accessed bit set may stay in ROM.
 */
        .section .boot, "ax"
boot:
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff        /* 0x08: code, 4 GiB, 32 bits */
        .quad 0x00cf93000000ffff        /* 0x10: data */
gdt_register:
        .word . - gdt - 1
        .long gdt

        .code16
start16:
        cli
        cld
        lgdtl   %cs:0xff00 + gdt_register - boot
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $0x08, $start32

        .org 0xf0
        .globl boot_vector
boot_vector:
        jmp     start16
        .org 0x100

        .section .text
        .code32
start32:
        movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $bss_first, %edi
        movl    $bss_end, %ecx
        subl    %edi, %ecx
        xorl    %eax, %eax
        rep stosb
        movl    $stack_end, %esp
        call    guest_main
        hlt

/* The serial port's interrupt only has to end `hlt`; the main loop reads the bytes. */
        .globl serial_interrupt
serial_interrupt:
        pushl   %eax
        movb    $0x20, %al
        outb    %al, $0x20
        popl    %eax
        iret

        .globl fault_interrupt
fault_interrupt:
        call    guest_fault

        .section .note.GNU-stack, "", @progbits
