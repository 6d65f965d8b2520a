/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU that follows a script.
 *
 * Each step names the one command that must come next and what is answered.  A command out of turn,
 * and a step that nobody came for, fail the test.
 */
#pragma once

#include "../../src/core/mf-error.h"
#include "../../src/io/mf-qmp.h"

typedef struct _FakeQmp FakeQmp;

FakeQmp *fake_qmp_new(void);
void fake_qmp_free(FakeQmp *fake); /* fails when steps are left */

/* command is compared as JSON, not as text; answer is passed on as it is. */
void fake_qmp_expect(FakeQmp *fake, const char *command, const char *answer);
/* The transport itself fails. */
void fake_qmp_expect_failure(FakeQmp *fake, const char *command, MfError code);

MfQmp fake_qmp_get(FakeQmp *fake);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeQmp, fake_qmp_free)
