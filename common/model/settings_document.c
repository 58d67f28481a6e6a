/* docs/settings.md, written from the table so that it cannot lag behind. */
#include "model/settings_load.h"

#include "base/poison.h"

/* The grammar and the ranks, in words; the rest is the table. */
static const char preamble[] =
    "# Settings\n"
    "\n"
    "Made from `common/model/settings.def` by the settings test; do not edit by hand.\n"
    "\n"
    "A value comes from `KEY` or, for secrets and PEM texts, from the file that `KEY_FILE` names, "
    "both in the\n"
    "environment; else from the configuration file (`DOORMAN_CONFIG_FILE`); else it is the "
    "default. In the file,\n"
    "nested names joined by `_` and upper-cased give the key: `log: { level: INFO }` is "
    "`LOG_LEVEL`. An empty\n"
    "value is unset, but for `SECURITY_HEADER_*`, which it switches off. Bools are `true false 1 0 "
    "yes no on\n"
    "off`; sizes are plain bytes; lists are comma-separated, or lists in the file. Relative paths "
    "lie under\n"
    "`DOORMAN_DATA_DIR`. `check-config` tells all faults of a configuration without starting.\n"
    "\n"
    "Programs: G `doorman-gateway`, A `doorman-admin`, B both; `doorman` reads all. Reload: H next "
    "request, F\n"
    "when the file it names changes, R at restart, N read at start or by one-shot commands only. "
    "Defaults with\n"
    "conditions are given per program (gateway, admin, all), `ENV` (development, test, production) "
    "and mode\n"
    "(mem, external).\n";

/* "plain @production json" -> "plain; production: json". */
static void write_default(const struct dm_setting_row *row, struct dm_buf *out)
{
    dm_view rest = dm_view_of(row->fallback);
    if (row->fallback == NULL) {
        dm_buf_add(out, DM_LIT("unset"));
        return;
    }
    size_t at = dm_view_find(rest, DM_LIT(" @"));
    dm_buf_addf(out, "`%.*s`", DM_FMT(dm_view_sub(rest, 0, at)));
    while (at < rest.len) {
        rest = dm_view_sub(rest, at + 2, rest.len);
        at = dm_view_find(rest, DM_LIT(" @"));
        dm_view part = dm_view_sub(rest, 0, at);
        size_t blank = dm_view_find_byte(part, ' ', 0);
        dm_view value = dm_view_sub(part, blank + 1, part.len);
        dm_buf_addf(out, "; %.*s: ", DM_FMT(dm_view_sub(part, 0, blank)));
        if (value.len == 0)
            dm_buf_add(out, DM_LIT("unset"));
        else
            dm_buf_addf(out, "`%.*s`", DM_FMT(value));
    }
}

static void write_row(const struct dm_setting_row *row, struct dm_buf *out)
{
    dm_buf_addf(out, "| `%s` | %s | ", row->key, dm_setting_type_name(row));
    write_default(row, out);
    dm_buf_add(out, DM_LIT(" | "));
    if (row->type != DM_SETTING_BOOL && row->type != DM_SETTING_TRI)
        dm_setting_expected(row, out);
    dm_buf_addf(out, " | %c | %c | %s |\n", row->programs, row->reload, row->sentence);
}

static void write_aliases(struct dm_buf *out)
{
    static const char *const how[] = {
        [DM_ALIAS_SAME] = "",
        [DM_ALIAS_SECONDS] = "in seconds",
        [DM_ALIAS_FAIL_OPEN] = "`true` = `open`",
        [DM_ALIAS_MEMORY] = "`true` = `MEM`",
        [DM_ALIAS_DEBUG] = "`true` = `DEBUG`, outside production",
        [DM_ALIAS_IGNORED] = "accepted and ignored",
        [DM_ALIAS_NO_EFFECT] = "accepted without effect, warned about",
    };
    size_t n;
    const struct dm_setting_alias *aliases = dm_setting_aliases(&n);
    dm_buf_add(
        out, DM_LIT("\n## Other names\n\nUsed where the key itself is unset at the same place.\n\n"
                    "| name | stands for | how |\n|---|---|---|\n"));
    for (size_t i = 0; i < n; i++) {
        if (aliases[i].key != NULL)
            dm_buf_addf(out, "| `%s` | `%s` | %s |\n", aliases[i].name, aliases[i].key,
                        how[aliases[i].kind]);
        else
            dm_buf_addf(out, "| `%s` | | %s |\n", aliases[i].name, how[aliases[i].kind]);
    }
}

void dm_settings_document(struct dm_buf *out)
{
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    dm_buf_add(out, dm_view_of(preamble));
    dm_buf_add(
        out,
        DM_LIT("\n## Keys\n\n| key | type | default | allowed | programs | reload | meaning |\n"
               "|---|---|---|---|---|---|---|\n"));
    for (size_t i = 0; i < n; i++)
        write_row(&rows[i], out);
    write_aliases(out);
}
