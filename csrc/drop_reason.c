/* SPDX-License-Identifier: Apache-2.0 */
/* drop_reason.c - names and texts of drop reasons, from the one list in packet.h. */
#include "packet.h"

static const char *const drop_names[DROP_REASON_COUNT] = {
#define X(id, name, text) [DROP_##id] = (name),
    DROP_REASONS(X)
#undef X
};

static const char *const drop_texts[DROP_REASON_COUNT] = {
#define X(id, name, text) [DROP_##id] = (text),
    DROP_REASONS(X)
#undef X
};

const char *drop_reason_name(enum drop_reason reason)
{
	return drop_names[reason];
}

const char *drop_reason_text(enum drop_reason reason)
{
	return drop_texts[reason];
}
