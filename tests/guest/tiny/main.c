/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest without firmware, disk or kernel: 64 KiB of ROM that fill RAM with known pages.
 *
 * It is ready in a fraction of a second, uses no processor time when idle, and every page of RAM
 * that it touches is of a known kind, so that a test can say which pages must be merged and
 * which must not. The layout begins at 2 MiB; below that, and up to the next border of 2 MiB
 * behind it, everything writable is filled with unique pages: a host that backs RAM with huge
 * pages would otherwise add zero pages that nobody asked for. What remains is the hole of 384 KiB
 * at 640 KiB, which a guest cannot write without a chipset driver.
 *
 * Machine: QEMU `pc` (PIIX4 power management, fw_cfg at port 0x510, COM1), RAM below 3 GiB.
 */
#include "../protocol.h"

#define PAGE(n)         ((volatile uint32_t *)((n)*PATTERN_PAGE_BYTES))
#define FIRST_PAGE      512u /* of the layout: 2 MiB */
#define HOLE_FIRST_PAGE 160u /* 640 KiB */
#define HOLE_END_PAGE   256u /* 1 MiB */
#define HUGE_PAGES      512u /* small pages in a huge page */

#define COM1            0x3f8
#define FW_CFG_SELECT   0x510
#define FW_CFG_DATA     0x511
#define FW_CFG_UUID     0x02
#define FW_CFG_RAM_SIZE 0x03
#define FW_CFG_FILE_DIR 0x19
#define PIIX4_PM        0x0b00u /* bus 0, device 1, function 3 */
#define PIIX4_PMBASE    0x40u
#define PIIX4_PMREGMISC 0x80u
#define LAPIC_LVT_LINT0 0xfee00350u
#define SERIAL_VECTOR   0x24 /* IRQ 4 behind a base of 0x20 */

extern char serial_interrupt[], fault_interrupt[], stack_end[];
void guest_main(void);
void guest_fault(void);

static struct layout layout;
static uint32_t ram_pages, filler_pages;
static char args[1024];
static uint64_t idt[SERIAL_VECTOR + 1];

static inline void
outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t
inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void
outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void
outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static void
serial_init(void)
{
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x80); /* divisor 1: 115200 baud */
    outb(COM1 + 0, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x03); /* 8N1 */
    outb(COM1 + 2, 0x07); /* empty FIFOs, interrupt at the first byte */
    outb(COM1 + 4, 0x0b); /* OUT2 lets the interrupt through */
    outb(COM1 + 1, 0x01);
}

static void
guest_write(const char *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        while (!(inb(COM1 + 5) & 0x20))
            ;
        outb(COM1, (uint8_t)bytes[i]);
    }
}

static void
guest_describe(void)
{
    say(" kind=tiny");
    say_field("ram_pages", ram_pages);
    say_field("first_page", FIRST_PAGE);
    say_field("filler_pages", filler_pages);
    say_field("hole_pages", HOLE_END_PAGE - HOLE_FIRST_PAGE);
}

static void
guest_off(void)
{
    outl(0xcf8, 0x80000000u | PIIX4_PM | PIIX4_PMBASE);
    outl(0xcfc, 0x600 | 1);
    outl(0xcf8, 0x80000000u | PIIX4_PM | PIIX4_PMREGMISC);
    outb(0xcfc, 1);
    outw(0x604, 0x2000); /* PM1_CNT: SLP_EN, sleep type 0, which is S5 in PIIX4 */
    for (;;)
        __asm__ volatile("cli; hlt");
}

void
guest_fault(void)
{
    say("ERROR processor fault\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* Interrupt gates for faults and for COM1; the old PIC delivers through the LAPIC's LINT0. */
static void
interrupts_init(void)
{
    const struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t *base;
    } idt_register = {sizeof idt - 1, idt};

    for (uint32_t i = 0; i <= SERIAL_VECTOR; i++) {
        uint32_t to = (uint32_t)(i == SERIAL_VECTOR ? serial_interrupt : fault_interrupt);

        idt[i] = ((uint64_t)((to & 0xffff0000u) | 0x8e00u) << 32) | 0x80000u | (to & 0xffffu);
    }
    __asm__ volatile("lidt %0" : : "m"(idt_register));
    *(volatile uint32_t *)LAPIC_LVT_LINT0 = 0x700; /* ExtINT, not masked */
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 0x04);
    outb(0x21, 0x01);
    outb(0x21, 0xef); /* all masked but IRQ 4 */
    outb(0xa1, 0xff);
}

static void
fw_cfg_read(uint16_t key, uint8_t *bytes, uint32_t length)
{
    outw(FW_CFG_SELECT, key);
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = inb(FW_CFG_DATA);
}

static uint32_t
fw_cfg_be32(void)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < 4; i++)
        value = value << 8 | inb(FW_CFG_DATA);
    return value;
}

/* Looks the arguments up in the directory of fw_cfg files; none are as good as empty ones. */
static void
args_read(void)
{
    uint32_t files;

    outw(FW_CFG_SELECT, FW_CFG_FILE_DIR);
    files = fw_cfg_be32();
    for (; files; files--) {
        uint32_t size = fw_cfg_be32();
        uint16_t key = (uint16_t)(fw_cfg_be32() >> 16);
        char name[56];
        const char *rest;

        for (uint32_t i = 0; i < sizeof name; i++)
            name[i] = (char)inb(FW_CFG_DATA);
        name[sizeof name - 1] = '\0';
        if ((rest = text_after(name, "opt/memfold/args")) && *rest == '\0') {
            fw_cfg_read(key, (uint8_t *)args, size < sizeof args ? size : sizeof args - 1);
            return;
        }
    }
}

/* Guests differ by their UUID unless told otherwise; without either they are twins. */
static uint32_t
salt_from_uuid(void)
{
    uint8_t uuid[16];
    uint32_t salt = 0;

    fw_cfg_read(FW_CFG_UUID, uuid, sizeof uuid);
    for (uint32_t i = 0; i < sizeof uuid; i++)
        salt = pattern_mix(salt ^ uuid[i]);
    return salt;
}

static void
filler(uint32_t first, uint32_t end)
{
    for (uint32_t page = first; page < end; page++) {
        struct pattern p = {PATTERN_FILLER, layout.seed, layout.salt, page};

        pattern_fill(PAGE(page), &p);
        filler_pages++;
    }
}

/* Fills RAM; returns the error to say, or 0. */
static const char *
memory_init(void)
{
    uint32_t bytes[2];
    uint32_t end, huge_end;

    fw_cfg_read(FW_CFG_RAM_SIZE, (uint8_t *)bytes, sizeof bytes);
    if (bytes[1] || bytes[0] > 0xc0000000u)
        return "ERROR this guest needs less than 3 GiB of RAM\n";
    ram_pages = bytes[0] / PATTERN_PAGE_BYTES;
    args_read();
    layout.seed = 1;
    layout.salt = salt_from_uuid();
    if (!layout_parse(&layout, args))
        return "ERROR a value in opt/memfold/args is not a number in range\n";
    end = FIRST_PAGE + layout_pages(&layout);
    if (end > ram_pages)
        return "ERROR the shares need more RAM than there is (2 MiB are the guest's own)\n";
    huge_end = (end + HUGE_PAGES - 1) / HUGE_PAGES * HUGE_PAGES;
    filler(0, 1);
    filler((uint32_t)stack_end / PATTERN_PAGE_BYTES, HOLE_FIRST_PAGE);
    filler(HOLE_END_PAGE, FIRST_PAGE);
    filler(end, huge_end < ram_pages ? huge_end : ram_pages);
    layout_fill(&layout, PAGE(FIRST_PAGE), 0, layout_pages(&layout));
    return 0;
}

/* Reads one line of at most `size` - 1 bytes, sleeping between bytes; a longer one is cut. */
static void
line_read(char *line, uint32_t size)
{
    uint32_t length = 0;

    for (;;) {
        char byte;

        __asm__ volatile("cli");
        if (!(inb(COM1 + 5) & 1)) {
            __asm__ volatile("sti; hlt");
            continue;
        }
        byte = (char)inb(COM1);
        if (byte == '\n' || byte == '\r')
            break;
        if (length < size - 1)
            line[length++] = byte;
    }
    line[length] = '\0';
}

void
guest_main(void)
{
    const char *error;

    serial_init();
    interrupts_init();
    error = memory_init();
    if (error) {
        layout = (struct layout){0};
        say(error);
    } else {
        say_ready(&layout);
    }
    for (;;) {
        char line[80];

        line_read(line, sizeof line);
        obey(&layout, PAGE(FIRST_PAGE), line);
    }
}
