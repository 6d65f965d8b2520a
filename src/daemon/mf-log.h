/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log: each message is one line of printable text, whatever libvirt, QEMU or a name puts into
 * it. */
#pragma once

/* To be called once, before anything is logged. */
void mf_log_begin(void);
